"""General-10's sources, ImageNet and its variants: every original layout is read from a miniature."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from dassl.data.datasets import build_dataset
from scipy.io import savemat

from common.errors import InputError
from common.paths import REPOSITORY
from datasets.fewshot import Samples, TaskImages
from datasets.images import read_image
from datasets.source import Source
from datasets.sources.caltech101 import Caltech101
from datasets.sources.dtd import DescribableTextures
from datasets.sources.eurosat import EuroSAT
from datasets.sources.fgvc_aircraft import FGVCAircraft
from datasets.sources.food101 import Food101
from datasets.sources.imagenet import ImageNet
from datasets.sources.imagenet_a import ImageNetA
from datasets.sources.imagenet_r import ImageNetR
from datasets.sources.imagenet_sketch import ImageNetSketch
from datasets.sources.imagenetv2 import ImageNetV2
from datasets.sources.oxford_flowers import OxfordFlowers
from datasets.sources.oxford_pets import OxfordPets
from datasets.sources.stanford_cars import StanfordCars
from datasets.sources.sun397 import SUN397
from datasets.sources.ucf101 import UCF101
from tests.support import class_lists
from tests.support.configs import dataset_config
from tests.support.releases import write_image

GENERAL = (
    Caltech101, DescribableTextures, EuroSAT, FGVCAircraft, Food101,
    OxfordFlowers, OxfordPets, StanfordCars, SUN397, UCF101,
)  # fmt: skip
VARIANTS = (ImageNetV2, ImageNetSketch, ImageNetA, ImageNetR)
EUROSAT = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial",
    "Pasture", "PermanentCrop", "Residential", "River", "SeaLake",
)  # fmt: skip


def write_class_folders(folder: Path, classes: Iterable[str], count: int = 2, suffix: str = ".jpg") -> None:
    """Write ``<folder>/<class>/image_<n><suffix>``."""
    for name in classes:
        for number in range(1, count + 1):
            write_image(folder / name / f"image_{number:04}{suffix}")


def write_text(path: Path, rows: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def only_task(source: type[Source], root: Path) -> TaskImages:
    """The single task of a source; each of its images must exist and be in one split only."""
    (images,) = source.tasks(root)
    files = [file for part in (images.train, images.val, images.test) for file, _ in part]
    assert len(set(files)) == len(files) and all(Path(file).is_file() for file in files)
    assert len(images.folders) == len(images.task.classnames)
    return images


def sizes(images: TaskImages) -> tuple[int, int, int]:
    return len(images.train), len(images.val), len(images.test)


def relative(samples: Samples, folder: Path) -> list[tuple[str, int]]:
    return [(Path(file).relative_to(folder).as_posix(), label) for file, label in samples]


# -- releases that consist of class folders and are split here --


def test_caltech101(tmp_path):
    write_class_folders(tmp_path / "caltech-101" / "101_ObjectCategories", class_lists.CALTECH101)
    write_class_folders(tmp_path / "caltech-101" / "101_ObjectCategories", ["Faces", "anchor"], 20)
    images = only_task(Caltech101, tmp_path)
    assert len(images.task.classnames) == 100 and images.task.metric == "C"
    # Capital letters come first, as in the published split.
    assert images.task.classnames[:6] == ("face", "leopard", "motorbike", "accordion", "airplane", "anchor")
    assert images.task.classnames[-1] == "yin yang" and "inline skate" in images.task.classnames
    assert images.folders[0] == "Faces" and not {"Faces_easy", "BACKGROUND_Google"} & set(images.folders)
    assert not [f for part in (images.train, images.val, images.test) for f, _ in part if "easy" in f or "BACK" in f]
    assert [Counter(label for _, label in part)[0] for part in (images.train, images.val, images.test)] == [10, 4, 6]
    assert sizes(images) == (20 + 98, 8, 12 + 98)


def test_caltech101_in_the_folder_that_torchvision_uses(tmp_path):
    write_class_folders(tmp_path / "caltech101" / "101_ObjectCategories", ["Faces", "ant"])
    images = only_task(Caltech101, tmp_path)
    assert images.task.classnames == ("face", "ant")
    assert images.source == "caltech-101"  # otherwise draws would depend on the folder's name


@pytest.mark.parametrize("place", ["dtd", "dtd/dtd"])
def test_describable_textures(tmp_path, place):
    write_class_folders(tmp_path / place / "images", class_lists.DTD)
    write_text(tmp_path / place / "labels" / "train1.txt", ["banded/image_0001.jpg"])
    images = only_task(DescribableTextures, tmp_path)
    assert images.task.classnames == tuple(class_lists.DTD) and len(images.task.classnames) == 47
    assert images.task.template == "{} texture." and sizes(images) == (47, 0, 47)


def test_eurosat(tmp_path):
    write_class_folders(tmp_path / "eurosat" / "2750", EUROSAT, 10)
    images = only_task(EuroSAT, tmp_path)
    assert images.folders == EUROSAT and sizes(images) == (50, 20, 30)
    assert images.task.classnames == (
        "Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road", "Industrial Buildings",
        "Pasture Land", "Permanent Crop Land", "Residential Buildings", "River", "Sea or Lake",
    )  # fmt: skip


def test_food101_ignores_its_lists(tmp_path):
    folder = tmp_path / "food-101"
    write_class_folders(folder / "images", class_lists.FOOD101)
    write_text(folder / "meta" / "classes.txt", class_lists.FOOD101)
    write_text(folder / "meta" / "train.txt", ["apple_pie/image_0001", "apple_pie/image_0002"])
    images = only_task(Food101, tmp_path)
    assert images.folders == tuple(class_lists.FOOD101)
    assert images.task.classnames[:2] == ("apple pie", "baby back ribs") and len(images.task.classnames) == 101
    assert sizes(images) == (101, 0, 101)


def write_flowers(folder: Path, count: int = 2) -> list[int]:
    """Labels cycle through the classes, because the images of a class need not be consecutive."""
    labels = [label for _ in range(count) for label in range(1, 103)]
    for number in range(1, len(labels) + 1):
        write_image(folder / "jpg" / f"image_{number:05}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    savemat(folder / "setid.mat", {"trnid": np.array([[1]]), "valid": np.array([[2]]), "tstid": np.array([[3]])})
    # The public file lists its numbers out of order.
    names = {str(number): name for number, name in reversed(list(enumerate(class_lists.FLOWERS, 1)))}
    (folder / "cat_to_name.json").write_text(json.dumps(names))
    return labels


@pytest.mark.parametrize("place", ["oxford_flowers", "flowers-102"])
def test_oxford_flowers(tmp_path, place):
    labels = write_flowers(tmp_path / place)
    images = only_task(OxfordFlowers, tmp_path)
    assert images.task.classnames == tuple(class_lists.FLOWERS) and images.folders[9:11] == ("10", "11")
    assert sizes(images) == (102, 0, 102) and images.task.metric == "C"
    for file, label in images.train + images.test:
        assert labels[int(file[-9:-4]) - 1] == label + 1


def test_incomplete_flowers(tmp_path, monkeypatch):
    folder = tmp_path / "oxford_flowers"
    write_flowers(folder)
    (folder / "jpg" / "image_00150.jpg").unlink()
    with pytest.raises(InputError, match=r"jpg/image_00150.jpg is missing, but .*imagelabels.mat names it"):
        OxfordFlowers.tasks(tmp_path)
    (folder / "cat_to_name.json").write_text('{"1": "pink primrose"}')
    with pytest.raises(InputError, match="cat_to_name.json does not name flower 2"):
        OxfordFlowers.tasks(tmp_path)
    for content in ("[1]", "{"):
        (folder / "cat_to_name.json").write_text(content)
        with pytest.raises(InputError, match="cat_to_name.json"):
            OxfordFlowers.tasks(tmp_path)
    (folder / "imagelabels.mat").write_bytes(b"no such thing")
    with pytest.raises(InputError, match="imagelabels.mat cannot be read"):
        OxfordFlowers.tasks(tmp_path)
    savemat(folder / "imagelabels.mat", {"other": np.array([1])})
    with pytest.raises(InputError, match="has no variable 'labels'"):
        OxfordFlowers.tasks(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(InputError, match="imagelabels.mat needs scipy: `pip install scipy`") as caught:
        OxfordFlowers.tasks(tmp_path)
    assert "\n" not in str(caught.value)


# -- releases with lists --


@pytest.mark.parametrize("place", ["fgvc_aircraft", "fgvc-aircraft-2013b/data"])
def test_fgvc_aircraft(tmp_path, place):
    folder = tmp_path / place
    write_text(folder / "variants.txt", class_lists.AIRCRAFT)
    lists = {}
    for first, part in ((0, "train"), (100, "val"), (200, "test")):
        rows = [(f"{first + number:07}", name) for number, name in enumerate(class_lists.AIRCRAFT)][::-1]
        write_text(folder / f"images_variant_{part}.txt", [" ".join(row) for row in rows])
        lists[part] = [(f"images/{image}.jpg", class_lists.AIRCRAFT.index(name)) for image, name in rows]
        for image, _ in rows:
            write_image(folder / "images" / f"{image}.jpg")
    images = only_task(FGVCAircraft, tmp_path)
    assert images.task.classnames == tuple(class_lists.AIRCRAFT) and "F-16A/B" in images.task.classnames
    for part, rows in lists.items():
        assert relative(getattr(images, part), folder) == rows


def test_invalid_aircraft_lists(tmp_path):
    folder = tmp_path / "fgvc_aircraft"
    write_text(folder / "variants.txt", ["A310", "Cessna 172"])
    for part, number in (("train", "01"), ("val", "01"), ("test", "02")):
        write_text(folder / f"images_variant_{part}.txt", [f"{number} Cessna 172"])
    with pytest.raises(InputError, match=r"images/01.jpg is missing, but .*images_variant_train.txt names it"):
        FGVCAircraft.tasks(tmp_path)
    for number in ("01", "02"):
        write_image(folder / "images" / f"{number}.jpg")
    assert FGVCAircraft.tasks(tmp_path)[0].val == [(str(folder / "images/01.jpg"), 1)]
    write_text(folder / "images_variant_val.txt", ["01 Cessna 173"])
    with pytest.raises(InputError, match="images_variant_val.txt: line '01 Cessna 173' names 'Cessna 173'"):
        FGVCAircraft.tasks(tmp_path)
    write_text(folder / "images_variant_val.txt", ["01"])
    with pytest.raises(InputError, match="images_variant_val.txt: line '01' does not have the format"):
        FGVCAircraft.tasks(tmp_path)
    (folder / "images_variant_val.txt").unlink()
    with pytest.raises(InputError, match="images_variant_val.txt cannot be read"):
        FGVCAircraft.tasks(tmp_path)


@pytest.mark.parametrize("place", ["oxford_pets", "oxford-iiit-pet"])
def test_oxford_pets(tmp_path, place):
    folder = tmp_path / place
    rows = {"trainval": [], "test": []}
    for number, breed in enumerate(class_lists.OXFORD_PETS, 1):
        species = 1 if breed[0].isupper() else 2
        for image in range(1, 8):
            # Some files of the release are PNG or GIF with the suffix of a JPEG.
            write_image(folder / "images" / f"{breed}_{image}.jpg", format="PNG" if image == 7 else None)
            rows["trainval" if image < 6 else "test"].append(f"{breed}_{image} {number} {species} 1")
    write_text(folder / "annotations" / "trainval.txt", rows["trainval"][::-1])
    write_text(folder / "annotations" / "test.txt", rows["test"])
    images = only_task(OxfordPets, tmp_path)
    assert images.folders == tuple(class_lists.OXFORD_PETS)
    assert images.task.classnames[:3] == ("abyssinian", "american bulldog", "american pit bull terrier")
    assert images.task.classnames[11] == "egyptian mau" and images.task.template.endswith("a type of pet.")
    assert sizes(images) == (37 * 4, 37, 37 * 2)
    assert set(Counter(label for _, label in images.val).values()) == {1}
    assert relative(images.test, folder)[:2] == [("images/Abyssinian_6.jpg", 0), ("images/Abyssinian_7.jpg", 0)]
    assert read_image(images.test[1][0]).size == (8, 8)
    write_text(folder / "annotations" / "test.txt", ["Abyssinian_6 1"])
    with pytest.raises(InputError, match="test.txt: line 'Abyssinian_6 1' does not have the format"):
        OxfordPets.tasks(tmp_path)


CARS = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", *(f"Make Model {n} Coupe 2007" for n in range(194))]


def write_cars(folder: Path, test_list: str = "cars_test_annos_withlabels.mat") -> None:
    """Write records as in the release: a bounding box, class and file name."""
    kinds = [(key, "O") for key in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array([CARS], object)})
    for part, path, count in (("train", "devkit/cars_train_annos.mat", 5), ("test", test_list, 1)):
        labels = [label for label in range(196, 0, -1) for _ in range(count)]
        records = [(1, 2, 3, 4, label, f"{number:05}.jpg") for number, label in enumerate(labels, 1)]
        savemat(folder / path, {"annotations": np.array([records], kinds)})
        for record in records:
            write_image(folder / f"cars_{part}" / record[-1])


@pytest.mark.parametrize("test_list", ["cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"])
def test_stanford_cars(tmp_path, test_list):
    folder = tmp_path / "stanford_cars"
    write_cars(folder, test_list)
    images = only_task(StanfordCars, tmp_path)
    assert images.folders == tuple(CARS) and sizes(images) == (196 * 4, 196, 196)
    assert images.task.classnames[:2] == ("2000 AM General Hummer SUV", "2012 Acura RL Sedan")
    assert relative(images.test, folder)[:2] == [("cars_test/00001.jpg", 195), ("cars_test/00002.jpg", 194)]
    assert {Path(file).parent.name for file, _ in images.train + images.val} == {"cars_train"}


def test_invalid_cars_lists(tmp_path):
    folder = tmp_path / "stanford_cars"
    write_cars(folder)
    (folder / "cars_test" / "00007.jpg").unlink()
    with pytest.raises(InputError, match=r"cars_test/00007.jpg is missing, but .*withlabels.mat names it"):
        StanfordCars.tasks(tmp_path)
    record = np.array([("00001.jpg", 197)], [("fname", "O"), ("class", "O")])
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": record})
    with pytest.raises(InputError, match="00001.jpg is of class 197, but cars_meta.mat names 196"):
        StanfordCars.tasks(tmp_path)
    # The devkit's own list of test images has no classes.
    unlabelled = np.array([("00001.jpg",)], [("fname", "O")])
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": unlabelled})
    with pytest.raises(InputError, match="withlabels.mat is not a list of images and classes"):
        StanfordCars.tasks(tmp_path)
    (folder / "cars_test_annos_withlabels.mat").unlink()
    with pytest.raises(InputError, match="cars_test_annos_withlabels.mat cannot be read"):
        StanfordCars.tasks(tmp_path)


SCENES = ["a/abbey", "a/apartment_building/outdoor", "b/bow_window/indoor", "b/bow_window/outdoor"]
SCENES += [f"c/scene{number}" for number in range(393)]


def test_sun397(tmp_path):
    folder = tmp_path / "sun397"
    write_text(folder / "ClassName.txt", [f"/{scene}" for scene in SCENES])
    for part, numbers in (("Training", range(5)), ("Testing", range(5, 6))):
        rows = [f"/{scene}/sun_{number}.jpg" for scene in reversed(SCENES) for number in numbers]
        write_text(folder / f"{part}_01.txt", rows)
        for row in rows:
            write_image(folder / f"SUN397{row}", size=(2, 2))
    images = only_task(SUN397, tmp_path)
    assert len(images.task.classnames) == 397 and sizes(images) == (397 * 4, 397, 397)
    assert images.task.classnames[:4] == (
        "abbey", "outdoor apartment building", "indoor bow window", "outdoor bow window",
    )  # fmt: skip
    assert relative(images.test, folder)[-1] == ("SUN397/a/abbey/sun_5.jpg", 0)
    write_text(folder / "Testing_01.txt", ["/d/desert/sun_1.jpg"])
    with pytest.raises(InputError, match="Testing_01.txt: line '/d/desert/sun_1.jpg' names 'd/desert'"):
        SUN397.tasks(tmp_path)
    write_text(folder / "Testing_01.txt", ["abbey.jpg"])
    with pytest.raises(InputError, match="Testing_01.txt: line 'abbey.jpg' does not have the format"):
        SUN397.tasks(tmp_path)


def test_a_list_of_100000_images_is_read_in_seconds(tmp_path):
    folder = tmp_path / "sun397"
    write_text(folder / "ClassName.txt", [f"/{scene}" for scene in SCENES[:20]])
    image = write_image(folder / "image.jpg").read_bytes()
    for scene in SCENES[:20]:
        (folder / "SUN397" / scene).mkdir(parents=True)
    for number in range(250):
        (folder / "SUN397" / SCENES[number % 20] / f"sun_{number}.jpg").write_bytes(image)
    rows = [f"/{SCENES[number % 20]}/sun_{number}.jpg" for number in range(250)]
    for part, half in (("Training", rows[:125]), ("Testing", rows[125:])):
        write_text(folder / f"{part}_01.txt", half * 400)
    tracemalloc.start()
    began = time.process_time()
    (images,) = SUN397.tasks(tmp_path)
    seconds = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes(images)) == 100_000
    assert seconds < 10 and peak < 500e6


def test_ucf101(tmp_path):
    folder = tmp_path / "ucf101"
    lists = folder / "ucfTrainTestlist"
    write_text(lists / "classInd.txt", [f"{n} {action}" for n, action in enumerate(class_lists.UCF101, 1)])
    rows = {"train": [], "test": []}
    for number, action in enumerate(class_lists.UCF101, 1):
        # The release spells one action differently in its videos' names.
        spelling = action.replace("Handstand", "HandStand")
        for clip in range(1, 7):
            part = "train" if clip < 6 else "test"
            rows[part].append(f"{action}/v_{spelling}_g01_c{clip:02}.avi" + (f" {number}" if part == "train" else ""))
            frames = "".join("_" + letter if letter.isupper() else letter for letter in action)[1:]
            write_image(folder / "UCF-101-midframes" / frames / f"v_{spelling}_g01_c{clip:02}.jpg")
    for part in rows:
        write_text(lists / f"{part}list01.txt", rows[part][::-1])
    images = only_task(UCF101, tmp_path)
    assert images.folders == tuple(class_lists.UCF101) and sizes(images) == (101 * 4, 101, 101)
    assert images.task.classnames[:2] == ("Apply Eye Makeup", "Apply Lipstick")
    assert {"Tai Chi", "Yo Yo", "Handstand Pushups", "Archery"} <= set(images.task.classnames)
    assert relative(images.test, folder)[-1] == (
        "UCF-101-midframes/Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c06.jpg",
        0,
    )
    write_text(lists / "testlist01.txt", ["Archery.avi"])
    with pytest.raises(InputError, match="testlist01.txt: line 'Archery.avi' does not have the format"):
        UCF101.tasks(tmp_path)
    write_text(lists / "classInd.txt", ["ApplyEyeMakeup"])
    with pytest.raises(InputError, match="classInd.txt is not a list of numbers and actions"):
        UCF101.tasks(tmp_path)


def test_images_of_every_kind_in_a_release(tmp_path):
    """These releases contain greyscale, CMYK and palette images, and PNG and GIF files called .jpg."""
    folder = tmp_path / "food-101" / "images"
    kinds = [("L", "jpg", None), ("CMYK", "JPG", None), ("P", "png", None), ("RGBA", "png", None), ("1", "png", None)]
    kinds += [("RGB", "jpg", "PNG"), ("P", "jpg", "GIF"), ("RGB", "jpeg", None)]
    for number, (mode, suffix, format) in enumerate(kinds):
        write_image(folder / "sushi" / f"{number}.{suffix}", mode, (6, 4), format)
    images = only_task(Food101, tmp_path)
    files = [file for part in (images.train, images.val, images.test) for file, _ in part]
    assert len(files) == len(kinds)
    for file in files:
        image = read_image(file)
        assert image.mode == "RGB" and image.size == (6, 4)


# -- ImageNet and its variants --

IDS = [f"n{number:08}" for number in range(1000, 1000 + 12 * 7, 7)]


def write_classnames(folder: Path) -> None:
    write_text(folder / "classnames.txt", [f"{key} name of {key}" for key in IDS])


@pytest.mark.parametrize("place", ["images/", ""])
def test_imagenet(tmp_path, place):
    folder = tmp_path / "imagenet"
    write_classnames(folder)
    write_class_folders(folder / f"{place}train", IDS, 3, ".JPEG")
    write_class_folders(folder / f"{place}val", IDS, 1, ".JPEG")
    (images,) = ImageNet.tasks(tmp_path)
    assert images.folders == tuple(IDS) and images.task.classnames[1] == f"name of {IDS[1]}"
    # The validation images are the test set; few shots are drawn from all training images.
    assert sizes(images) == (36, 0, 12)
    assert relative(images.test, folder)[1] == (f"{place}val/{IDS[1]}/image_0001.JPEG", 1)
    dataset = build_dataset(dataset_config(tmp_path, "ImageNet"))
    assert len(dataset.train_x) == 24 and len(dataset.test) == 12 and not dataset.test_only


def test_imagenet_without_training_images_is_for_testing_only(tmp_path):
    write_classnames(tmp_path / "imagenet")
    write_class_folders(tmp_path / "imagenet/images/val", IDS, 1)
    dataset = build_dataset(dataset_config(tmp_path, "ImageNet"))
    assert dataset.test_only and len(dataset.test) == 12


def test_inconsistent_imagenet(tmp_path):
    folder = tmp_path / "imagenet"
    folder.mkdir()
    with pytest.raises(InputError, match=r"Class names are not in .*imagenet/classnames.txt; `bash .* imagenet`"):
        ImageNet.tasks(tmp_path)
    write_classnames(folder)
    with pytest.raises(InputError, match="images/val of task 'val' is missing"):
        ImageNet.tasks(tmp_path)
    write_image(folder / "images" / "val" / "ILSVRC2012_val_00000001.JPEG")  # the layout of the archive
    with pytest.raises(InputError, match="has no class folders"):
        ImageNet.tasks(tmp_path)
    write_class_folders(folder / "images" / "val", IDS, 1)
    write_class_folders(folder / "images" / "train", IDS[:-1], 1)
    with pytest.raises(InputError, match=f"Class folder {IDS[-1]} is in only one of"):
        ImageNet.tasks(tmp_path)
    write_class_folders(folder / "images" / "train", IDS[-1:], 1)
    write_text(folder / "classnames.txt", [f"{key} name" for key in IDS[1:]])
    with pytest.raises(InputError, match=f"classnames.txt has no name for class '{IDS[0]}'"):
        ImageNet.tasks(tmp_path)
    write_text(folder / "classnames.txt", [IDS[0]])
    with pytest.raises(InputError, match=f"line '{IDS[0]}' is not an id and a class name"):
        ImageNet.tasks(tmp_path)


PLACES = {
    ImageNetSketch: ("imagenet-sketch/images", "imagenet-sketch/sketch"),
    ImageNetA: ("imagenet-adversarial/imagenet-a", "imagenet-a"),
    ImageNetR: ("imagenet-rendition/imagenet-r", "imagenet-r"),
}


@pytest.mark.parametrize(("source", "place"), [(source, place) for source in PLACES for place in PLACES[source]])
@pytest.mark.parametrize("names_from", ["imagenet", "own"])
def test_variants(tmp_path, source, place, names_from):
    """Their classes are a subset of ImageNet's, numbered in the order of the ids."""
    some = IDS[1::3]
    write_class_folders(tmp_path / place, reversed(some), 3)
    write_text(tmp_path / place / "README.txt", ["not a class"])
    write_classnames(tmp_path / "imagenet" if names_from == "imagenet" else tmp_path / place.split("/")[0])
    images = only_task(source, tmp_path)
    assert images.folders == tuple(some) and images.task.classnames == tuple(f"name of {key}" for key in some)
    assert sizes(images) == (0, 0, 3 * len(some)) and images.source == source.folders[0]
    assert [label for _, label in images.test] == [label for label in range(len(some)) for _ in range(3)]


@pytest.mark.parametrize("place", ["imagenetv2/imagenetv2-matched-frequency-format-val",
                                   "imagenetv2-matched-frequency-format-val"])  # fmt: skip
def test_imagenetv2_numbers_its_folders(tmp_path, place):
    write_classnames(tmp_path / "imagenet")
    write_class_folders(tmp_path / place, map(str, range(12)), 2)
    images = only_task(ImageNetV2, tmp_path)
    # In numerical order: 10 comes after 9.
    assert images.folders == tuple(IDS) and images.task.classnames[10] == f"name of {IDS[10]}"
    assert all(int(Path(file).parent.name) == label for file, label in images.test)
    assert [label for _, label in images.test] == [label for label in range(12) for _ in range(2)]
    write_class_folders(tmp_path / place, ["12"], 1)
    with pytest.raises(InputError, match="/12 is not a class folder: these are called 0 to 11"):
        ImageNetV2.tasks(tmp_path)


@pytest.mark.parametrize("source", VARIANTS)
def test_variants_are_for_testing_only(tmp_path, source):
    """They load with any number of shots, since scripts also set one for --eval-only and zero-shot runs."""
    folder = tmp_path / source.folders[0] / source.unpacked[0]
    write_classnames(tmp_path / "imagenet")
    write_class_folders(folder, map(str, range(4)) if source is ImageNetV2 else IDS[:4], 2)
    dataset = build_dataset(dataset_config(tmp_path, source.__name__))
    assert dataset.test_only and len(dataset.test) == 8 and dataset.num_classes == 4 and not dataset.val
    assert dataset.classnames == [f"name of {key}" for key in IDS[:4]]


# -- all sources --


def test_published_splits(tmp_path):
    """A published split file, in either format, replaces the original layout."""
    for source in GENERAL:
        if source is FGVCAircraft:
            assert not source.split_files
            continue
        folder = tmp_path / source.folders[0]
        rows = {"train": [["x/1.jpg", 1, "second_class"], ["x/2.jpg", 0, "First"]]}
        rows["val"], rows["test"] = [["x/3.jpg", 0, "First"]], [["x/4.jpg", 1, "second_class"]]
        for part in rows.values():
            for file, _, _ in part:
                write_image(folder / source.images / file)
        multi = {part: [[file, [label], [0]] for file, label, _ in listed] for part, listed in rows.items()}
        multi["meta"] = {"taskid2cname": [["First", "second_class"]]}
        zhou, dk = (folder / name for name in source.split_files)
        assert zhou.name.startswith("split_zhou_") and dk.name.startswith("split_dk_")
        for path, content in ((dk, multi), (zhou, rows)):
            path.write_text(json.dumps(content))
            images = only_task(source, tmp_path)
            assert images.task.classnames == ("First", "second class")
            assert relative(images.train, folder / source.images) == [("x/1.jpg", 1), ("x/2.jpg", 0)]
            assert sizes(images) == (2, 1, 1)
        # CoOp's is used if both exist.
        dk.write_text("not read")
        assert sizes(only_task(source, tmp_path)) == (2, 1, 1)
        (folder / source.images / "x" / "4.jpg").unlink()
        with pytest.raises(InputError, match=f"x/4.jpg is missing, but the split .*{zhou.name} names it"):
            source.tasks(tmp_path)


@pytest.mark.parametrize("source", [*GENERAL, ImageNet, *VARIANTS])
def test_the_error_for_a_missing_folder_names_the_searched_places_and_the_remedy(tmp_path, source):
    with pytest.raises(InputError) as caught:
        source.tasks(tmp_path)
    for folder in source.folders:
        assert str(tmp_path / folder) in str(caught.value)
    assert f"prepare.sh {source.name()}`" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [*GENERAL, ImageNet, *VARIANTS])
def test_the_error_for_an_empty_folder_is_one_line(tmp_path, source):
    (tmp_path / source.folders[0]).mkdir()
    with pytest.raises(InputError) as caught:
        source.tasks(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [*GENERAL, ImageNet, *VARIANTS])
def test_the_facts_about_a_source_are_consistent(source):
    facts = source.facts
    assert facts.split and sum(facts.split) == (39700 if source is SUN397 else facts.images)
    assert facts.licence and facts.size and facts.home.startswith("https://")
    for download in facts.downloads:
        assert download.url.startswith(("https://", "http://", "gdrive:")) and len(download.md5) in (0, 32)
        place = download.to or source.folders[-1]
        assert any((f"{place}/").startswith(f"{folder}/") for folder in source.folders)
    config = (REPOSITORY / "configs" / "datasets" / f"{source.name()}.yaml").read_text()
    assert config.startswith("# ") and f'NAME: "{source.__name__}"' in config


def test_general_10_has_1191_classes():
    assert sum(source.facts.classes for source in GENERAL) == 1191
    class_mean = {source for source in GENERAL if source.metric == "C"}
    assert class_mean == {Caltech101, FGVCAircraft, OxfordFlowers, OxfordPets}
    assert len({source.task_name for source in GENERAL}) == 10
