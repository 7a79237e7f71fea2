"""Task names, metrics and class names of the released SoftCPT code and of CoOp's; and sources that users write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dassl.data.datasets import DATASET_REGISTRY, build_dataset

from common.errors import InputError
from datasets.source import Facts, Source
from datasets.sources.caltech101 import Caltech101
from datasets.sources.dtd import DescribableTextures
from datasets.sources.eurosat import EuroSAT
from datasets.sources.fgvc_aircraft import FGVCAircraft
from datasets.sources.imagenet import ImageNet
from datasets.sources.plant_village import PHRASES, original_name, phrase
from tests.support.class_lists import PLANT_VILLAGE
from tests.support.configs import dataset_config
from tests.support.releases import write_image

META = {"taskid2tname": ["surface_pattern"], "taskid2metric": ["mean_acc"], "taskid2desc": ["x"], "taskid2type": ["sl"]}


def write_dk(folder: Path, images: str, names: tuple[str, ...], file: str, **meta: list) -> Path:
    """Write a split file in the released code's format, and its images."""
    rows: dict[str, list] = {"train": [], "val": [], "test": []}
    for label in range(len(names)):
        for number, part in enumerate(rows):
            image = f"{label}/{number}.jpg"
            write_image(folder / images / image)
            rows[part].append([image, [label], [0]])
    path = folder / file
    path.write_text(json.dumps({**rows, "meta": {"taskid2cname": [list(names)], **meta}}))
    return path


# -- task names and metrics --


def test_the_task_of_a_released_split(tmp_path, capsys):
    """The meta network reads the task's name, so the released one is used, and a line says so."""
    split = write_dk(tmp_path / "dtd", "images", ("a", "b"), "split_dk_DescribableTextures.json", **META)
    (images,) = DescribableTextures.tasks(tmp_path)
    assert images.task.name == "surface pattern" and images.task.metric == "C"
    assert images.task.template == "{} texture." and images.source == "dtd"
    name, metric = "".join(capsys.readouterr()).splitlines()
    assert '"surface pattern"' in name and str(split) in name and '"texture"' in name
    assert "mean per-class accuracy" in metric and str(split) in metric and "overall accuracy" in metric


def test_task_name_txt(tmp_path, capsys):
    """The released code reads this file unless it reads a split of its own."""
    write_image(tmp_path / "dtd/images/banded/1.jpg")
    write_image(tmp_path / "dtd/images/banded/2.jpg")
    for text in ("surface_pattern\n", "surface pattern", "  surface_pattern  "):
        (tmp_path / "dtd/task_name.txt").write_text(text)
        (images,) = DescribableTextures.tasks(tmp_path)
        assert images.task.name == "surface pattern" and images.task.metric == "A"
    assert str(tmp_path / "dtd/task_name.txt") in "".join(capsys.readouterr())
    (tmp_path / "dtd/task_name.txt").write_text("texture\n")
    assert DescribableTextures.tasks(tmp_path)[0].task.name == "texture"
    (tmp_path / "dtd/task_name.txt").write_text("\n")
    assert DescribableTextures.tasks(tmp_path)[0].task.name == "texture" and not "".join(capsys.readouterr())


def test_task_name_txt_beside_a_split(tmp_path, capsys):
    split = write_dk(tmp_path / "dtd", "images", ("a", "b"), "split_dk_DescribableTextures.json", **META)
    file = tmp_path / "dtd/task_name.txt"
    file.write_text("kind of surface")
    assert DescribableTextures.tasks(tmp_path)[0].task.name == "surface pattern"  # as in the released code
    said = "".join(capsys.readouterr())
    assert f'{file} says "kind of surface", which is not used, because {split} says "surface pattern"' in said
    # CoOp's split has no task name.
    rows = [["0/0.jpg", 0, "a"], ["1/0.jpg", 1, "b"]]
    zhou = tmp_path / "dtd/split_zhou_DescribableTextures.json"
    zhou.write_text(json.dumps({"train": rows, "val": [], "test": [["0/1.jpg", 0, "a"]]}))
    (images,) = DescribableTextures.tasks(tmp_path)
    assert images.task.name == "kind of surface" and images.task.metric == "A"
    assert f"{split} is not used, because {zhou} is there" in "".join(capsys.readouterr())


def test_task_name_txt_of_sources_with_readers_of_their_own(tmp_path):
    folder = tmp_path / "fgvc_aircraft"
    for part in ("train", "val", "test"):
        write_image(folder / "images" / f"{part}.jpg")
        (folder / f"images_variant_{part}.txt").write_text(f"{part} A310")
    (folder / "variants.txt").write_text("A310")
    (folder / "task_name.txt").write_text("airliner")
    assert FGVCAircraft.tasks(tmp_path)[0].task.name == "airliner"
    write_image(tmp_path / "imagenet/val/n01440764/1.JPEG")
    (tmp_path / "imagenet/classnames.txt").write_text("n01440764 tench")
    (tmp_path / "imagenet/task_name.txt").write_text("thing")
    assert ImageNet.tasks(tmp_path)[0].task.name == "thing"


@pytest.mark.parametrize("metric, expected", [("overall_acc", "A"), ("mean_acc", "C"), ("", "A"), ("map", "A")])
def test_metrics_of_a_released_split(tmp_path, capsys, metric, expected):
    meta = {"taskid2tname": ["texture"], "taskid2metric": [metric] if metric else []}
    write_dk(tmp_path / "dtd", "images", ("a", "b"), "split_dk_DescribableTextures.json", **meta)
    assert DescribableTextures.tasks(tmp_path)[0].task.metric == expected
    assert ("'map'" in "".join(capsys.readouterr())) == (metric == "map")


def test_a_split_of_several_tasks_is_refused(tmp_path):
    split = write_dk(tmp_path / "dtd", "images", ("a",), "split_dk_DescribableTextures.json")
    content = json.loads(split.read_text())
    content["meta"]["taskid2cname"].append(["b"])
    split.write_text(json.dumps(content))
    with pytest.raises(InputError, match="2 tasks instead of one") as caught:
        DescribableTextures.tasks(tmp_path)
    assert str(split) in str(caught.value)


# -- class names --


@pytest.mark.parametrize(
    "source, file, folders, expected",
    [
        (Caltech101, "split_dk_Caltech101.json", ("Faces", "airplanes", "sea_horse"), "face,airplane,sea horse"),
        (EuroSAT, "split_dk_EuroSAT.json", ("AnnualCrop", "River", "SeaLake"), "Annual Crop Land,River,Sea or Lake"),
    ],
)
def test_folder_names_in_a_released_split(tmp_path, source, file, folders, expected):
    """The released code keeps folder names in these splits, and renames the classes whenever it reads them."""
    write_dk(tmp_path / source.folders[0], source.images, folders, file)
    (images,) = source.tasks(tmp_path)
    assert images.task.classnames == tuple(expected.split(",")) and images.folders == folders


def test_the_released_phrases_of_plant_village():
    assert PHRASES == PLANT_VILLAGE and len(PHRASES) == 39
    assert {folder: phrase(folder) for folder in PLANT_VILLAGE} == PLANT_VILLAGE
    assert all(phrase(text) == text for text in PHRASES.values())  # those in a released split stay


@pytest.mark.parametrize(
    "folder, original",
    [
        ("Corn_(maize)___Common_rust_", "Corn___Common_rust"),
        ("Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot", "Corn___Cercospora_leaf_spot Gray_leaf_spot"),
        ("Corn_(maize)___Cercospora_leaf_spot_Gray_leaf_spot", "Corn___Cercospora_leaf_spot Gray_leaf_spot"),
        ("Corn_(maize)___Northern_Leaf_Blight", "Corn___Northern_Leaf_Blight"),
        ("Cherry_(including_sour)___healthy", "Cherry___healthy"),
        ("Cherry_(including_sour)___Powdery_mildew", "Cherry___Powdery_mildew"),
        ("Pepper,_bell___Bacterial_spot", "Pepper,_bell___Bacterial_spot"),
        ("Pepper__bell___Bacterial_spot", "Pepper,_bell___Bacterial_spot"),
        ("Grape___Esca_(Black_Measles)", "Grape___Esca_(Black_Measles)"),
        ("Grape___Esca_Black_Measles", "Grape___Esca_(Black_Measles)"),
        ("Orange___Haunglongbing_(Citrus_greening)", "Orange___Haunglongbing_(Citrus_greening)"),
        ("Tomato_healthy", "Tomato___healthy"),
        ("Tomato_Spider_mites_Two_spotted_spider_mite", "Tomato___Spider_mites Two-spotted_spider_mite"),
        ("Tomato__Target_Spot", "Tomato___Target_Spot"),
        ("Tomato__Tomato_mosaic_virus", "Tomato___Tomato_mosaic_virus"),
        ("Tomato__Tomato_YellowLeaf__Curl_Virus", "Tomato___Tomato_Yellow_Leaf_Curl_Virus"),
        ("Background_without_leaves", "Background_without_leaves"),
    ],
)
def test_spellings_of_plant_village(folder, original):
    """The copies on GitHub and Kaggle spell crops and conditions differently."""
    assert original_name(folder) == original and phrase(folder) == PLANT_VILLAGE[original]


@pytest.mark.parametrize(
    "folder, expected",
    [("Rice_(paddy)___Brown_spot_", "rice leaf with brown spot"), ("Rice___healthy", "healthy rice leaf"),
     ("Rice_(paddy)", "rice")],
)  # fmt: skip
def test_phrases_of_other_crops(folder, expected):
    assert phrase(folder) == expected


def test_released_templates_and_metrics():
    """As in the zero-shot templates and data set classes of the released code."""
    templates = {
        "Caltech101": ("a photo of a {}.", "C"),
        "DescribableTextures": ("{} texture.", "A"),
        "EuroSAT": ("a centered satellite photo of {}.", "A"),
        "FGVCAircraft": ("a photo of a {}, a type of aircraft.", "C"),
        "Food101": ("a photo of {}, a type of food.", "A"),
        "OxfordFlowers": ("a photo of a {}, a type of flower.", "C"),
        "OxfordPets": ("a photo of a {}, a type of pet.", "C"),
        "StanfordCars": ("a photo of a {}.", "A"),
        "SUN397": ("a photo of a {}.", "A"),
        "UCF101": ("a photo of a person doing {}.", "A"),
        "FruitVegetable": ("a photo of a {}, a type of fruit or vegetable.", "A"),
        "KaggleFlower": ("a photo of a {}, a type of flower.", "A"),
        "KaggleMushroom": ("a photo of a {}, a type of mushroom.", "A"),
        "KaggleVegetable": ("a photo of a {}, a type of vegetable.", "A"),
        "PlantSeedlingV1": ("a photo of a {}, a type of seedling.", "A"),
        "PlantVillage": ("a photo of a plant leaf with {} disease.", "A"),
        **dict.fromkeys(
            ("ImageNet", "ImageNetV2", "ImageNetSketch", "ImageNetA", "ImageNetR"), ("a photo of a {}.", "A")
        ),
    }
    for name, expected in templates.items():
        kind = DATASET_REGISTRY.get(name)
        assert (kind.template, kind.metric) == expected, name


# -- a source of one's own --


@pytest.fixture
def own():
    """The least that a source of one's own needs."""

    class Weeds(Source):
        folders = ("weeds",)
        task_name = "weed"

    DATASET_REGISTRY.register(Weeds, force=True)
    yield Weeds
    DATASET_REGISTRY._obj_map.pop("Weeds")


def test_a_source_of_ones_own(own, tmp_path):
    for name in ("chick_weed", "thistle"):
        for number in range(10):
            write_image(tmp_path / "weeds" / name / f"{number}.jpg")
    dataset = build_dataset(dataset_config(tmp_path, "Weeds"))
    assert dataset.classnames == ["chick weed", "thistle"] and len(dataset.train_x) == 4
    assert isinstance(own.facts, Facts) and not own.facts.downloads and own.facts.steps
    assert own.facts.classes == own.facts.images == 0 and own.facts.split is None  # not known


def test_names_of_a_source_of_ones_own(own, tmp_path):
    own.class_names = {"thistle": "creeping thistle"}
    for name in ("thistle", "nettle"):
        write_image(tmp_path / "Weeds/archive/Train" / name / "1.jpg")
        write_image(tmp_path / "Weeds/archive/Test" / name / "2.jpg")
    (images,) = own.tasks(tmp_path)
    assert images.task.classnames == ("nettle", "creeping thistle") and len(images.test) == 2
