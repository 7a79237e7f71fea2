"""Copies of public data sets as mirrors arrange them: torchvision, Kaggle, class folders, train/ and test/, doubled
folders; each is read with and without its published split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from dassl.data.datasets import DATASET_REGISTRY
from scipy.io import savemat

import datasets  # noqa: F401 -- registers them
from common.errors import InputError
from datasets.fewshot import TaskImages
from datasets.source import Source
from tests.support import class_lists
from tests.support.releases import write_image

# Two class folders of each source, in order, and their names in prompts.
CLASSES = {
    "Caltech101": (("Faces", "ant"), ("face", "ant")),
    "DescribableTextures": (("banded", "polka-dotted"), ("banded", "polka-dotted")),
    "EuroSAT": (("AnnualCrop", "SeaLake"), ("Annual Crop Land", "Sea or Lake")),
    "FGVCAircraft": (("707-320", "F-16A_B"), ("707-320", "F-16A/B")),
    "Food101": (("apple_pie", "sushi"), ("apple pie", "sushi")),
    "OxfordFlowers": (("2", "10"), ("hard-leaved pocket orchid", "globe thistle")),
    "OxfordPets": (("Abyssinian", "american_bulldog"), ("abyssinian", "american bulldog")),
    "StanfordCars": (
        ("Acura RL Sedan 2012", "Ram C-V Cargo Van Minivan 2012"),
        ("2012 Acura RL Sedan", "2012 Ram C/V Cargo Van Minivan"),
    ),
    "UCF101": (("Apply_Eye_Makeup", "Yo_Yo"), ("Apply Eye Makeup", "Yo Yo")),
    "FruitVegetable": (("apple", "bell pepper"), ("apple", "bell pepper")),
    "KaggleFlower": (("daisy", "tulip"), ("daisy", "tulip")),
    "KaggleMushroom": (("Agaricus", "Suillus"), ("Agaricus", "Suillus")),
    "KaggleVegetable": (("Bean", "Bitter_Gourd"), ("Bean", "Bitter Gourd")),
    "PlantSeedlingV1": (("Black-grass", "Shepherds Purse"), ("Black-grass", "Shepherd's Purse")),
    "PlantVillage": (
        ("Corn_(maize)___Common_rust_", "Pepper,_bell___healthy"),
        ("corn leaf with common rust", "healthy pepper leaf"),
    ),
    "AID": (("Airport", "Parking"), ("airport", "parking lot")),
    "RESISC45": (("airplane", "dense_residential"), ("airplane", "dense residential area")),
    "OPTIMAL31": (("airplane", "golf_course"), ("airplane", "golf course")),
    "RSICB128": (("city_building", "hirst"), ("city building", "sandbank")),
    "RSSCN7": (("aGrass", "gParking"), ("grass", "parking lot")),
    "NaSCTG2": (("beach", "circularfarmland"), ("beach", "circular farmland")),
    "UCMerced": (("airplane", "golfcourse"), ("airplane", "golf course")),
    "WHURS19": (("Airport", "footballField"), ("airport", "football field")),
}
OWN_SPLIT = ("FruitVegetable", "KaggleVegetable")
FLAT = ("FGVCAircraft", "OxfordFlowers", "OxfordPets")  # the release has one folder with all images


def kind_of(name: str) -> type[Source]:
    kind = DATASET_REGISTRY.get(name)
    assert issubclass(kind, Source)
    return kind


def write_classes(folder: Path, classes: Iterable[str], numbers: Iterable[int], suffix: str = "jpg") -> None:
    """Write ``<folder>/<class>/<class>_<number>.<suffix>``."""
    for name in classes:
        for number in numbers:
            write_image(folder / name / f"{name}_{number}.{suffix}", size=(2, 2))


def read(name: str, root: Path) -> TaskImages:
    """Read a source's only task; all its images must exist and be in one split only."""
    (images,) = kind_of(name).tasks(root)
    files = [file for part in (images.train, images.val, images.test) for file, _ in part]
    assert len(set(files)) == len(files) and all(Path(file).is_file() for file in files)
    return images


def in_class_folders(images: TaskImages, classes: Iterable[str]) -> bool:
    """True if the label of every image is that of its folder."""
    order = list(classes)
    return all(
        order.index(Path(file).parent.name) == label
        for part in (images.train, images.val, images.test)
        for file, label in part
    )


def total(images: TaskImages) -> int:
    return len(images.train) + len(images.val) + len(images.test)


def places(name: str) -> dict[str, str]:
    """Where a copy may have the class folders, below the data root."""
    kind = kind_of(name)
    folder, images = kind.folders[0], kind.images or "images"
    return {
        "usual": f"{folder}/{images}",
        "no folder of images": folder,
        "doubled": f"{folder}/{folder}/{images}",
        "doubled images": f"{folder}/{images}/{images}",
        "other case": f"{folder.upper().replace('-', '_')}/{images.upper()}",
        "extra folder": f"{folder}/archive/{images} (1)",
    }


PLACES = tuple(places("DescribableTextures"))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("arrangement", PLACES)
def test_class_folders_in_other_places(tmp_path, capsys, name, arrangement):
    folders, names = CLASSES[name]
    write_classes(tmp_path / places(name)[arrangement], folders, range(10))
    images = read(name, tmp_path)
    assert images.task.classnames == names and total(images) == 20
    assert in_class_folders(images, folders)
    assert images.source == kind_of(name).folders[0]  # draws do not depend on the place
    assert [len(images.train), len(images.val), len(images.test)] == [10, 4, 6]
    published = kind_of(name).facts.split is not None  # then results on another split are not comparable
    assert ("split 50/20/30, not as published" in "".join(capsys.readouterr())) == published


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "parts", [("train", "test", ""), ("Train", "Test", "Val"), ("training", "testing", "validation"),
              ("train/train", "test/test", "valid")]
)  # fmt: skip
def test_images_sorted_into_parts(tmp_path, capsys, name, parts):
    """The parts of a copy are kept apart, and a line says so."""
    folders, names = CLASSES[name]
    place = tmp_path / kind_of(name).folders[0] / "Dataset"
    train, test, val = parts
    write_classes(place / train, folders, range(10))
    write_classes(place / test, folders, range(10, 13))
    if val:
        write_classes(place / val, folders, range(13, 15))
    elif name in OWN_SPLIT:
        with pytest.raises(InputError, match="Dataset has no folder 'validation'"):
            read(name, tmp_path)
        return
    images = read(name, tmp_path)
    assert images.task.classnames == names and in_class_folders(images, folders)
    assert {Path(file).parents[1] for file, _ in images.test} == {place / test}
    assert {Path(file).parents[1] for file, _ in images.train} == {place / train}
    assert [len(images.train), len(images.val), len(images.test)] == ([20, 4, 6] if val else [16, 4, 6])
    said = "".join(capsys.readouterr())
    assert (f"{place} is divided into" in said) == (name not in OWN_SPLIT)


def write_split(root: Path, name: str, rows: dict[str, list[tuple[str, int, str]]]) -> None:
    """Write the last of a source's split files, in its format, into its first folder."""
    kind = kind_of(name)
    file = kind.split_files[-1]
    (root / kind.folders[0]).mkdir(parents=True, exist_ok=True)
    if file.startswith("split_dk"):
        names = dict(sorted((label, text) for part in rows.values() for _, label, text in part))
        meta = {"taskid2cname": [list(names.values())]}
        content = {part: [[path, [label], [0]] for path, label, _ in listed] for part, listed in rows.items()}
        (root / kind.folders[0] / file).write_text(json.dumps({**content, "meta": meta}))
    else:
        (root / kind.folders[0] / file).write_text(json.dumps(rows))


WITH_SPLIT = [name for name in CLASSES if DATASET_REGISTRY.get(name).split_files]


@pytest.mark.parametrize("name", WITH_SPLIT)
@pytest.mark.parametrize("arrangement", [*PLACES, "parts", "parts beside the folder"])
def test_paths_of_a_split_are_relative_to_the_folder_that_is_there(tmp_path, name, arrangement):
    kind = kind_of(name)
    folders, names = CLASSES[name]
    flat = name in FLAT
    rows: dict[str, list] = {"train": [], "val": [], "test": []}
    for label, (folder, text) in enumerate(zip(folders, names, strict=True)):
        for number in range(6):
            part = ("train", "train", "val", "test", "test", "test")[number]
            file = f"{folder}_{number}.jpg"
            rows[part].append((file if flat else f"{folder}/{file}", label, text))
    if arrangement in PLACES:
        write_classes(tmp_path / places(name)[arrangement], folders, range(6))
    else:  # the copy's own parts are not the split's
        inner = "Train" if arrangement == "parts" else f"{kind.images or 'images'}/train"
        place = tmp_path / kind.folders[0] / inner
        write_classes(place, folders, (0, 3, 4))
        write_classes(place.parent / place.name.replace("rain", "est"), folders, (1, 2, 5))
    write_split(tmp_path, name, rows)
    images = read(name, tmp_path)
    assert images.task.classnames == names
    for part, listed in rows.items():
        got = [(Path(file).name, label) for file, label in getattr(images, part)]
        assert got == [(Path(path).name, label) for path, label, _ in listed]
    assert in_class_folders(images, folders)


@pytest.mark.parametrize("name", WITH_SPLIT)
def test_images_of_a_split_are_not_replaced_by_others(tmp_path, name):
    """An image that is missing from its class folder is not taken from another class, part or copy."""
    folders, names = CLASSES[name]
    place = tmp_path / kind_of(name).folders[0] / (kind_of(name).images or "x")
    for folder in (folders[0], "other"):
        for number in (1, 2):
            write_image(place / folder / f"image_{number}.jpg")
    rows = {
        "train": [(f"{folders[0]}/image_1.jpg", 0, names[0])],
        "val": [],
        "test": [(f"{folders[1]}/image_2.jpg", 1, names[1]), (f"{folders[0]}/image_3.jpg", 0, names[0])],
    }
    write_image(place / "other" / "image_3.jpg")
    write_split(tmp_path, name, rows)
    with pytest.raises(InputError, match=r"image_\d.jpg is missing, but the split .* names it \(\d of 3 are") as caught:
        read(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_the_published_split_beside_the_inner_folder(tmp_path):
    """torchvision unpacks dtd/dtd/images; the split may be in either dtd/, in CoOp's or SoftCPT's format."""
    write_classes(tmp_path / "dtd/dtd/images", ("banded", "blotchy"), range(3))
    write_classes(tmp_path / "dtd/dtd/labels", (), ())
    rows = [
        [f"{name}/{name}_{i}.jpg", label, name] for label, name in enumerate(("banded", "blotchy")) for i in range(3)
    ]
    for place in (tmp_path / "dtd", tmp_path / "dtd/dtd"):
        split = place / "split_zhou_DescribableTextures.json"
        split.write_text(json.dumps({"train": rows[:2], "val": rows[2:3], "test": rows[3:]}))
        images = read("DescribableTextures", tmp_path)
        assert [len(images.train), len(images.val), len(images.test)] == [2, 1, 3]
        assert images.train[0][0] == str(tmp_path / "dtd/dtd/images/banded/banded_0.jpg")
        split.unlink()


def test_paths_of_a_split_written_on_windows(tmp_path):
    write_classes(tmp_path / "dtd/images", ("banded",), range(3))
    rows = [[f"banded\\banded_{i}.jpg", 0, "banded"] for i in range(3)]
    split = {"train": rows[:1], "val": rows[1:2], "test": rows[2:]}
    (tmp_path / "dtd/split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    assert read("DescribableTextures", tmp_path).test == [(str(tmp_path / "dtd/images/banded/banded_2.jpg"), 0)]


def test_folders_beside_the_one_that_prepare_makes(tmp_path):
    """A folder with nothing but the split file does not hide a copy under another name."""
    write_classes(tmp_path / "EuroSAT_RGB", ("Forest", "River"), range(3))
    rows = [[f"{name}/{name}_{i}.jpg", k, name] for k, name in enumerate(("Forest", "River")) for i in range(3)]
    (tmp_path / "eurosat").mkdir()
    (tmp_path / "eurosat/split_zhou_EuroSAT.json").write_text(
        json.dumps({"train": rows[:2], "val": rows[2:3], "test": rows[3:]})
    )
    images = read("EuroSAT", tmp_path)
    assert len(images.train) == 2 and images.test[0][0] == str(tmp_path / "EuroSAT_RGB/River/River_0.jpg")


# -- copies of single sources --


@pytest.mark.parametrize(
    "place", ["eurosat/EuroSAT_RGB", "eurosat/EuroSAT/2750", "EuroSAT/2750", "eurosat/eurosat/2750"]
)
def test_eurosat_beside_its_multispectral_version(tmp_path, place):
    write_classes(tmp_path / place, ("AnnualCrop", "River"), range(10))
    write_classes(tmp_path / place.split("/")[0] / "EuroSAT_MS", ("AnnualCrop", "River"), range(10), "tif")
    images = read("EuroSAT", tmp_path)
    assert {Path(file).suffix for file, _ in images.train} == {".jpg"} and total(images) == 20


def test_plant_village_of_github(tmp_path):
    """The GitHub copy has three versions of each image; the colour ones are read, in the spelling of the release."""
    folders = ("Cherry_(including_sour)___healthy", "Corn_(maize)___Common_rust_", "Pepper,_bell___Bacterial_spot")
    for version in ("color", "grayscale", "segmented"):
        write_classes(tmp_path / "PlantVillage/raw" / version, folders, range(10), "JPG")
    images = read("PlantVillage", tmp_path)
    assert {Path(file).parents[1].name for file, _ in images.train} == {"color"}
    assert images.folders == ("Cherry___healthy", "Corn___Common_rust", "Pepper,_bell___Bacterial_spot")
    assert images.task.classnames == (
        "healthy cherry leaf", "corn leaf with common rust", "pepper with bacterial spot",
    )  # fmt: skip


def test_plant_village_with_a_copy_of_itself(tmp_path):
    folders = ("Pepper__bell___healthy", "Tomato_Leaf_Mold", "Tomato__Tomato_YellowLeaf__Curl_Virus", "Tomato_healthy")
    for place in ("PlantVillage", "PlantVillage/PlantVillage"):
        write_classes(tmp_path / place, folders, range(10))
    images = read("PlantVillage", tmp_path)
    assert total(images) == 40 and set(images.task.classnames) == {
        "healthy pepper leaf", "tomato leaf with mold", "tomato leaf with tomato yellow leaf curl virus",
        "healthy tomato leaf",
    }  # fmt: skip


def test_two_folders_of_one_class(tmp_path):
    write_classes(tmp_path / "PlantVillage", ("Corn___healthy", "Corn_(maize)___healthy"), range(2))
    with pytest.raises(InputError, match="'Corn_\\(maize\\)___healthy' and 'Corn___healthy' .* 'healthy corn leaf'"):
        read("PlantVillage", tmp_path)


def test_seedlings_with_unlabelled_test_images(tmp_path, capsys):
    """The competition's test images have no labels, so the training images are all there is."""
    write_classes(tmp_path / "PlantSeedlingV1/train", ("Charlock", "Maize"), range(10), "png")
    write_image(tmp_path / "PlantSeedlingV1/test/1b.png")
    images = read("PlantSeedlingV1", tmp_path)
    assert total(images) == 20 and not any("/test/" in file for file, _ in images.test)
    assert "only" in "".join(capsys.readouterr())


def test_a_copy_with_training_and_validation_images_only(tmp_path, capsys):
    write_classes(tmp_path / "PlantVillage/x/train", ("Corn___healthy", "Potato___healthy"), range(5))
    write_classes(tmp_path / "PlantVillage/x/valid", ("Corn___healthy", "Potato___healthy"), range(3))
    images = read("PlantVillage", tmp_path)
    assert {Path(file).parents[1].name for file, _ in images.test} == {"valid"} and len(images.test) == 6
    assert "no test images" in "".join(capsys.readouterr())


def test_numbers_before_the_names_of_class_folders(tmp_path):
    write_classes(tmp_path / "dtd/images", ("2. banded", "10. blotchy", "001_polka-dotted"), range(2))
    images = read("DescribableTextures", tmp_path)
    assert images.task.classnames == images.folders == ("banded", "blotchy", "polka-dotted")
    for file, label in images.train + images.test:
        assert images.folders[label] in Path(file).parent.name


@pytest.mark.parametrize("name", ["DescribableTextures", "Food101", "PlantVillage", "AID", "StanfordCars"])
def test_classes_named_by_numbers_are_refused(tmp_path, name):
    write_classes(tmp_path / kind_of(name).folders[0] / "train", ("0", "1"), range(2))
    with pytest.raises(InputError, match="calls a class '0'.*prepare.sh") as caught:
        read(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_scenes_without_the_letters_that_order_them(tmp_path):
    write_classes(tmp_path / "RSSCN7", ("Grass", "RiverLake", "parking"), range(2))
    images = read("RSSCN7", tmp_path)
    assert images.folders == ("aGrass", "dRiverLake", "gParking")
    assert images.task.classnames == ("grass", "river or lake", "parking lot")


def test_groups_in_parts(tmp_path):
    for part, numbers in (("Train", range(5)), ("Test", range(5, 7))):
        write_classes(tmp_path / "RSI-CB128" / part / "woodland", ("forest", "sapling"), numbers)
        write_classes(tmp_path / "RSI-CB128" / part / "water area", ("sea",), numbers)
    images = read("RSICB128", tmp_path)
    assert images.task.classnames == ("forest", "sapling", "sea") and len(images.test) == 6


@pytest.mark.parametrize("place", ["flowers-102", "oxford_flowers/archive", "flowers102/flowers-102"])
def test_torchvisions_flowers_have_no_list_of_names(tmp_path, place):
    labels = [2, 1, 10, 1, 2, 10]
    for number in range(1, 7):
        write_image(tmp_path / place / "jpg" / f"image_{number:05}.jpg")
    savemat(tmp_path / place / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    images = read("OxfordFlowers", tmp_path)
    assert images.task.classnames == tuple(class_lists.FLOWERS[n - 1] for n in (1, 2, 10))
    for file, label in images.train + images.val + images.test:
        assert (1, 2, 10)[label] == labels[int(file[-9:-4]) - 1]


def test_flowers_without_labels_are_refused(tmp_path):
    """The folder of all images is not a class, and neither is that of the segmentations."""
    write_image(tmp_path / "oxford_flowers/jpg/image_00001.jpg")
    write_image(tmp_path / "oxford_flowers/segmim/segmim_00001.jpg")
    with pytest.raises(InputError, match="it holds jpg/, segmim/; .*prepare.sh oxford_flowers") as caught:
        read("OxfordFlowers", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_flower_is_never_called_by_a_number(tmp_path):
    write_classes(tmp_path / "oxford_flowers/train", ("1", "103"), range(3))
    with pytest.raises(InputError, match="does not name flower 103"):
        read("OxfordFlowers", tmp_path)


def test_flowers_whose_test_images_have_no_labels(tmp_path, capsys):
    write_classes(tmp_path / "oxford_flowers/dataset/train", ("1", "2", "10"), range(3))
    write_classes(tmp_path / "oxford_flowers/dataset/valid", ("1", "2", "10"), range(2))
    write_image(tmp_path / "oxford_flowers/dataset/test/image_00005.jpg")
    images = read("OxfordFlowers", tmp_path)
    assert images.folders == ("1", "2", "10") and in_class_folders(images, images.folders)
    assert images.task.classnames == ("pink primrose", "hard-leaved pocket orchid", "globe thistle")
    assert {Path(file).parents[1].name for file, _ in images.test} == {"valid"} and len(images.test) == 6
    assert "no test images" in "".join(capsys.readouterr())


CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012")


def write_cars(folder: Path, devkit: str = "devkit") -> None:
    kinds = [("class", "O"), ("fname", "O")]
    (folder / devkit).mkdir(parents=True)
    savemat(folder / devkit / "cars_meta.mat", {"class_names": np.array([CARS], object)})
    for path in (f"{devkit}/cars_train_annos.mat", "cars_test_annos_withlabels.mat"):
        records = [(label, f"{number:05}.jpg") for number, label in enumerate((1, 2) * 5, 1)]
        savemat(folder / path, {"annotations": np.array([records], kinds)})


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    "root, images",
    [("stanford_cars", "cars_{}"), ("stanford_cars", "cars_{0}/cars_{0}"), ("stanford_cars/stanford_cars", "cars_{}"),
     ("StanfordCars", "Cars_{0}"), ("stanford-cars-dataset", "cars_{0}/cars_{0}"),
     ("stanford_cars", "car_data/car_data/{}/all")],
)  # fmt: skip
def test_stanford_cars(tmp_path, root, images, split):
    """Both parts name their images 00001.jpg and so on."""
    for part in ("train", "test"):
        for number in range(1, 11):
            write_image(tmp_path / root / images.format(part) / f"{number:05}.jpg")
    if split:
        rows = {p: [[f"cars_{p}/{n:05}.jpg", n % 2, CARS[n % 2]] for n in range(1, 11)] for p in ("train", "test")}
        content = json.dumps({**rows, "val": []})
        (tmp_path / root / "split_zhou_StanfordCars.json").write_text(content)
    else:
        write_cars(tmp_path / root, "car_devkit/devkit" if "-" in root else "devkit")
    found = read("StanfordCars", tmp_path)
    assert len(found.test) == 10 and len(found.train) + len(found.val) == 10
    assert {"est" in Path(file).relative_to(tmp_path).as_posix() for file, _ in found.test} == {True}
    assert {"rain" in Path(file).relative_to(tmp_path).as_posix() for file, _ in found.train} == {True}
    assert [Path(file).name for file, _ in found.test] == [f"{n:05}.jpg" for n in range(1, 11)]


def test_stanford_cars_in_class_folders_with_the_published_split(tmp_path):
    rows: dict[str, list] = {"val": []}
    for part, order in (("train", 0), ("test", 1)):
        rows[part] = []
        for number in range(1, 9):
            label = (number + order) % 2
            write_image(tmp_path / "stanford_cars/car_data/car_data" / part / CARS[label] / f"{number:05}.jpg")
            rows[part].append([f"cars_{part}/{number:05}.jpg", label, CARS[label]])
    (tmp_path / "stanford_cars/split_zhou_StanfordCars.json").write_text(json.dumps(rows))
    images = read("StanfordCars", tmp_path)
    assert images.task.classnames == CARS  # as the split spells them
    for part in ("train", "test"):
        assert {Path(file).parents[1].name for file, _ in getattr(images, part)} == {part}
    assert in_class_folders(images, CARS)


def test_a_missing_test_car_is_not_replaced_by_a_training_car(tmp_path):
    for part in ("train", "test"):
        for number in range(1, 11):
            write_image(tmp_path / f"stanford_cars/cars_{part}/cars_{part}/{number:05}.jpg")
    write_cars(tmp_path / "stanford_cars")
    (tmp_path / "stanford_cars/cars_test/cars_test/00004.jpg").unlink()
    with pytest.raises(InputError, match=r"00001.jpg is missing, but .*withlabels.mat names it"):
        read("StanfordCars", tmp_path)


SCENES = ("a/abbey", "a/apartment_building/outdoor", "b/bus_interior", "t/temple/east_asia")
SCENE_NAMES = ("abbey", "outdoor apartment building", "bus interior", "east asia temple")


def write_scenes(folder: Path, numbers: Iterable[int], flat: str = "") -> None:
    for scene in SCENES:
        name = scene if not flat else flat.join(scene.split("/")[1:])
        for number in numbers:
            write_image(folder / name / f"sun_{scene.replace('/', '')}{number}.jpg", size=(2, 2))


@pytest.mark.parametrize("lists", ["", "Partitions", "partitions", "SUN397"])
@pytest.mark.parametrize("images", ["sun397/SUN397", "SUN397", "sun397/sun397/SUN397", "sun397/archive/SUN397/SUN397"])
def test_sun397_with_its_partitions(tmp_path, images, lists):
    """torchvision unpacks SUN397/a/abbey; the partitions are a separate archive."""
    write_scenes(tmp_path / images, range(6))
    place = tmp_path / images.split("/")[0] / lists
    place.mkdir(exist_ok=True, parents=True)
    (place / "ClassName.txt").write_text("".join(f"/{scene}\n" for scene in SCENES))
    for part, numbers in (("Training", range(5)), ("Testing", (5,))):
        rows = [f"/{scene}/sun_{scene.replace('/', '')}{n}.jpg\n" for scene in SCENES for n in numbers]
        (place / f"{part}_01.txt").write_text("".join(rows))
    found = read("SUN397", tmp_path)
    assert found.task.classnames == SCENE_NAMES and found.folders == SCENES
    assert [len(found.train), len(found.val), len(found.test)] == [16, 4, 4]


@pytest.mark.parametrize("flat", ["", "_", "-", "/"])
@pytest.mark.parametrize("place", ["sun397", "sun397/SUN397", "SUN397/archive/data"])
def test_sun397_without_its_partitions(tmp_path, capsys, place, flat):
    write_scenes(tmp_path / place, range(10), flat)
    (tmp_path / place / "ClassName.txt").write_text("/a/abbey\n")  # torchvision's, without partitions
    found = read("SUN397", tmp_path)
    assert found.task.classnames == SCENE_NAMES and found.folders == SCENES and total(found) == 40
    assert "split_zhou_SUN397.json" in "".join(capsys.readouterr())


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("flat", ["_", "/"])
@pytest.mark.parametrize("place", ["sun397", "sun397/data"])
def test_sun397_of_kaggle(tmp_path, place, flat, split):
    """Kaggle's copies have train/ and test/."""
    write_scenes(tmp_path / place / "train", range(5), flat)
    write_scenes(tmp_path / place / "test", range(5, 7), flat)
    if split:
        rows = [
            [f"{scene}/sun_{scene.replace('/', '')}{n}.jpg", label, SCENE_NAMES[label]]
            for n in range(7)
            for label, scene in enumerate(SCENES)
        ]
        content = {"train": rows[:8], "val": rows[8:12], "test": rows[12:]}
        (tmp_path / "sun397/split_zhou_SUN397.json").write_text(json.dumps(content))
    found = read("SUN397", tmp_path)
    assert found.task.classnames == SCENE_NAMES
    sizes = [len(found.train), len(found.val), len(found.test)]
    assert sizes == ([8, 4, 16] if split else [16, 4, 8])
    assert split or {"/test/" in file for file, _ in found.test} == {True}


@pytest.mark.parametrize("place", ["oxford_pets/images/images", "oxford-iiit-pet/images", "OxfordIIITPet/images"])
@pytest.mark.parametrize("lists", ["annotations", "annotations/annotations"])
def test_oxford_pets(tmp_path, place, lists):
    top = tmp_path / place.split("/")[0]
    (top / lists).mkdir(parents=True)
    for part, numbers in (("trainval", range(1, 6)), ("test", (6,))):
        rows = [f"{breed}_{n} {k} 1 1\n" for k, breed in ((1, "Abyssinian"), (2, "pug")) for n in numbers]
        (top / lists / f"{part}.txt").write_text("".join(rows))
        for row in rows:
            write_image(tmp_path / place / f"{row.split()[0]}.jpg")
    images = read("OxfordPets", tmp_path)
    assert images.task.classnames == ("abyssinian", "pug") and len(images.test) == 2


@pytest.mark.parametrize("place", ["fgvc-aircraft-2013b/data", "fgvc-aircraft-2013b/fgvc-aircraft-2013b/data",
                                   "fgvc_aircraft/fgvc-aircraft-2013b/data", "FGVC_Aircraft"])  # fmt: skip
@pytest.mark.parametrize("images", ["images", "images/images"])
def test_aircraft(tmp_path, place, images):
    folder = tmp_path / place
    for number, part in enumerate(("train", "val", "test")):
        write_image(folder / images / f"{number}.jpg")
        (folder / f"images_variant_{part}.txt").write_text(f"{number} Cessna 172\n")
    (folder / "variants.txt").write_text("A310\nCessna 172\n")
    found = read("FGVCAircraft", tmp_path)
    assert found.task.classnames == ("A310", "Cessna 172")
    assert found.test == [(str(folder / images / "2.jpg"), 1)]


@pytest.mark.parametrize("frames", ["ucf101/UCF-101-midframes", "ucf101/UCF-101-midframes/UCF-101-midframes",
                                    "UCF101/frames"])  # fmt: skip
@pytest.mark.parametrize("folder", ["Apply_Eye_Makeup", "ApplyEyeMakeup"])
def test_ucf101(tmp_path, frames, folder):
    top = tmp_path / frames.split("/")[0]
    (top / "ucfTrainTestlist").mkdir(parents=True)
    (top / "ucfTrainTestlist/classInd.txt").write_text("1 ApplyEyeMakeup\n")
    for part, numbers in (("train", range(5)), ("test", (5,))):
        rows = [f"ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c{n}.avi 1\n" for n in numbers]
        (top / "ucfTrainTestlist" / f"{part}list01.txt").write_text("".join(rows))
        for n in numbers:
            write_image(tmp_path / frames / folder / f"v_ApplyEyeMakeup_g01_c{n}.jpg")
    images = read("UCF101", tmp_path)
    assert images.task.classnames == ("Apply Eye Makeup",) and len(images.test) == 1


@pytest.mark.parametrize(
    "name, file, expected",
    [
        ("Caltech101", "caltech-101/101_ObjectCategories.tar.gz", "unpack .*101_ObjectCategories.tar.gz"),
        ("UCF101", "ucf101/UCF-101/Archery/v_Archery_g01_c01.avi", "1 video.*frames are needed.*prepare.sh ucf101"),
        ("DescribableTextures", "dtd/data/train-00000.parquet", "train-00000.parquet holds no image files"),
        ("Food101", "food-101/meta/classes.txt", "it holds meta/; .*prepare.sh food101"),
        ("StanfordCars", "stanford_cars/cars_annos.mat", "it holds cars_annos.mat; .*prepare.sh stanford_cars"),
    ],
)
def test_copies_without_images(tmp_path, name, file, expected):
    """One line says what is there and what to do."""
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(InputError, match=expected) as caught:
        read(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_split_without_the_images_names_the_archive(tmp_path):
    (tmp_path / "caltech-101").mkdir()
    (tmp_path / "caltech-101/101_ObjectCategories.tar.gz").write_bytes(b"")
    rows = {"train": [["ant/image_0001.jpg", 0, "ant"]], "val": [], "test": []}
    (tmp_path / "caltech-101/split_zhou_Caltech101.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match="image_0001.jpg is missing.*; unpack .*/101_ObjectCategories.tar.gz"):
        read("Caltech101", tmp_path)


# -- Fashion-20 --


@pytest.mark.parametrize("place", ["Fashion20", "fashion20/fashion20", "fashion20/images"])
def test_fashion_in_other_places(tmp_path, place):
    from tests.support.releases import write_release

    images = write_release(tmp_path, "fashion20", count=2)
    if place == "fashion20/images":  # doubled
        images.rename(tmp_path / "images")
        images.mkdir()
        (tmp_path / "images").rename(images / "images")
    else:
        images.parent.rename(tmp_path / "moved")
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / "moved").rename(tmp_path / place)
    tasks = kind_of("Fashion20").tasks(tmp_path)
    assert len(tasks) == 20 and sum(len(task.folders) for task in tasks) == 78
