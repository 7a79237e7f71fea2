"""Stanford Cars (Krause et al., 3dRR 2013): 196 cars by make, model and year."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.layouts import Release, Rows, from_lists, locate_files, read_mat
from datasets.places import find_file
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class StanfordCars(Source):
    folders = ("stanford_cars",)
    aliases = ("stanford-cars-dataset", "stanford-car-dataset-by-classes-folder", "stanford-cars-by-classes-folder")
    image_places = ("car_data",)
    split_files = ("split_zhou_StanfordCars.json", "split_dk_StanfordCars.json")
    task_name = "car model"
    class_names = {"Ram C-V Cargo Van Minivan 2012": "Ram C/V Cargo Van Minivan 2012"}  # of class folders
    facts = Facts(
        classes=196,
        images=16185,
        split=(6509, 1635, 8041),
        licence="not stated",
        size="2 GB",
        home="https://doi.org/10.1109/ICCVW.2013.77",
        downloads=(
            Download("gdrive:1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT", "stanford_cars/split_zhou_StanfordCars.json"),
            # The release's addresses at ai.stanford.edu no longer work; PromptKD's authors keep this copy.
            Download(
                "https://huggingface.co/zhengli97/prompt_learning_dataset/resolve/"
                "ceb3112337fb6e1bf71534e355ca5569b63f19a6/stanford_cars.zip",
                "",
                unpack=True,
            ),
        ),
        steps=(
            "If the copy cannot be fetched: log in to Kaggle and download "
            "https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset",
            "Unpack it into stanford_cars/, which should then contain cars_train/ and cars_test/. Its cars_annos.mat "
            "does not fit these images; split_zhou_StanfordCars.json has the labels.",
        ),
    )

    @classmethod
    def classname(cls, key: str) -> str:
        return year_first(cls.class_names.get(key, key).replace("_", " "))

    @classmethod
    def read(cls, folder: Path) -> Release:
        meta = find_file(folder, "devkit/cars_meta.mat", "cars_meta.mat")
        if meta is None:
            return super().read(folder)
        cars = [str(name) for name in read_mat(meta, "class_names")]
        # The devkit's own list of test images has no labels; the labelled list came later, as a separate file.
        labelled = "cars_test_annos_withlabels.mat"
        lists = {
            "train": find_file(folder, "devkit/cars_train_annos.mat", "cars_train_annos.mat"),
            "test": find_file(folder, labelled, f"devkit/{labelled}", "cars_test_annos_withlabels (1).mat"),
        }
        names = {"train": meta.parent / "cars_train_annos.mat", "test": folder / labelled}
        parts = {part: _read_rows(path or names[part], part, folder, cars) for part, path in lists.items()}
        return from_lists(cars, year_first, **parts)


def year_first(car: str) -> str:
    """Move the year to the front: "Acura TL Sedan 2012" becomes "2012 Acura TL Sedan"."""
    model, _, year = car.rpartition(" ")
    return f"{year} {model}" if model and year.isdecimal() else car


def _read_rows(path: Path, part: str, folder: Path, cars: list[str]) -> Rows:
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
    rows = [(f"cars_{part}/{file}", cars[number - 1]) for file, number in pairs]
    found = locate_files((file for file, _ in rows), folder, folder, str(path))
    return [(found[file], car) for file, car in rows]
