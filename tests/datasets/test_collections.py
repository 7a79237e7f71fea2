"""The collections: their tasks, classes and order, and that they share images with their sources."""

import json
from pathlib import Path

import pytest
import yaml
from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401 -- registers them
from common.paths import REPOSITORY
from datasets.collections.all44 import All44
from datasets.collections.general10 import General10
from datasets.collections.plant6 import Plant6
from datasets.collections.rs8 import RS8
from datasets.source import Part
from datasets.sources.fashion20 import Fashion20
from tests.support.configs import dataset_config
from tests.support.releases import RELEASES, fill_folder, write_release

GENERAL10 = {
    "caltech101": (100, "C"), "dtd": (47, "A"), "eurosat": (10, "A"), "fgvc_aircraft": (100, "C"),
    "food101": (101, "A"), "oxford_flowers": (102, "C"), "oxford_pets": (37, "C"), "stanford_cars": (196, "A"),
    "sun397": (397, "A"), "ucf101": (101, "A"),
}  # fmt: skip
PLANT6 = {
    "fruit_vegetable": 36, "kaggle_flower": 5, "kaggle_mushroom": 9, "kaggle_vegetable": 15, "plant_seedling": 12,
    "plant_village": 39,
}  # fmt: skip
RS8_SOURCES = {
    "aid": 30, "resisc45": 45, "optimal31": 31, "rsicb128": 45, "rsscn7": 7, "nasc_tg2": 10, "ucmerced": 21,
    "whurs19": 19,
}  # fmt: skip


def write_general(root: Path, part: Part, count: int) -> None:
    """Write a source of General-10 with its published split (FGVC-Aircraft: its lists) and made-up class names."""
    kind = part.source
    folder, classes = root / kind.folders[0], GENERAL10[kind.name()][0]
    images = folder / kind.images
    shared = root.parent / f"{root.name} images"
    if not kind.split_files:
        (folder / "variants.txt").parent.mkdir(parents=True)
        (folder / "variants.txt").write_text("\n".join(f"variant {i}" for i in range(classes)))
        fill_folder(images, classes * count, "jpg", shared)
        files = sorted(images.iterdir())
        parts = {"train": range(2 * classes), "val": range(2 * classes, 3 * classes)}
        for split in ("train", "val", "test"):
            indices = parts.get(split, range(3 * classes, 4 * classes))
            lines = [f"{files[i].stem.replace(' ', '_')} variant {i % classes}" for i in indices]
            (folder / f"images_variant_{split}.txt").write_text("\n".join(lines))
        for file in files:
            file.rename(images / file.name.replace(" ", "_"))
        return
    rows: dict[str, list] = {"train": [], "val": [], "test": []}
    for i in range(classes):
        fill_folder(images / f"c{i}", count, "jpg", shared)
        names = sorted(file.name for file in (images / f"c{i}").iterdir())
        for part_of_split, place in zip(rows, (slice(2), slice(2, 3), slice(3, 4)), strict=True):
            rows[part_of_split] += [[f"c{i}/{name}", i, f"class {i}"] for name in names[place]]
    (folder / kind.split_files[0]).write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data root with all 25 sources in miniature."""
    root = tmp_path_factory.mktemp("data")
    for part in General10.parts:
        write_general(root, part, 4)
    for name in (*RELEASES, "fashion20"):
        write_release(root, name, 4)
    return root


def test_the_parts_of_the_collections():
    assert [part.source.name() for part in General10.parts] == list(GENERAL10)
    assert [part.source.name() for part in Plant6.parts] == list(PLANT6)
    assert [part.source.name() for part in RS8.parts] == list(RS8_SOURCES)
    assert All44.parts[:24] == General10.parts + Plant6.parts + RS8.parts
    assert [part.source for part in All44.parts[24:]] == [Fashion20]


@pytest.mark.parametrize(
    "kind, tasks, classes",
    [(General10, 10, 1191), (Plant6, 6, 116), (RS8, 8, 208), (Fashion20, 20, 78), (All44, 44, 1593)],
)
def test_class_totals(data, kind, tasks, classes):
    parts = getattr(kind, "parts", None)
    assert sum(part.source.facts.classes for part in parts) == classes if parts else kind.facts.classes == classes
    read = kind.__new__(kind).read_tasks(None, data)
    assert len(read) == tasks
    assert sum(len(images.task.classnames) for images in read) == classes
    assert len({images.task.name for images in read}) == tasks, "the meta network reads nothing but task names"
    assert len({images.source for images in read}) == tasks


def test_classes_and_metrics_of_every_task(data):
    found = [
        (len(images.task.classnames), images.task.metric) for images in All44.__new__(All44).read_tasks(None, data)
    ]
    one_task = [*GENERAL10.values(), *((n, "A") for n in (*PLANT6.values(), *RS8_SOURCES.values()))]
    assert found[:24] == one_task
    assert [metric for _, metric in found[24:]] == ["C"] * 20


def test_zero_shot_templates_of_general10(data):
    read = General10.__new__(General10).read_tasks(None, data)
    assert [images.task.template for images in read] == [
        "a photo of a {}.",
        "{} texture.",
        "a centered satellite photo of {}.",
        "a photo of a {}, a type of aircraft.",
        "a photo of {}, a type of food.",
        "a photo of a {}, a type of flower.",
        "a photo of a {}, a type of pet.",
        "a photo of a {}.",
        "a photo of a {}.",
        "a photo of a person doing {}.",
    ]


@pytest.mark.parametrize("name", ["general10", "plant6", "rs8", "fashion20", "all44", *PLANT6, *RS8_SOURCES])
def test_every_config_names_its_class(name):
    text = (REPOSITORY / "configs/datasets" / f"{name}.yaml").read_text("utf-8")
    assert text.startswith("# ") and text.splitlines()[1] == "DATASET:"
    kind = DATASET_REGISTRY.get(yaml.safe_load(text)["DATASET"]["NAME"])
    assert kind.__module__.rpartition(".")[2] == name


def test_a_collection_draws_the_same_shots_as_its_sources(data):
    everything = All44(dataset_config(data, "All44"))
    assert everything.layout.n_classes == everything.num_classes == 1593
    assert len(everything.train_x) == 2 * 1593
    for name, task in (("Caltech101", 0), ("KaggleFlower", 11), ("RSICB128", 19)):
        alone = DATASET_REGISTRY.get(name)(dataset_config(data, name))
        first = everything.layout.offsets[task]
        drawn = [(d.impath, d.label - first, d.classname) for d in everything.train_x if d.domain == task]
        assert drawn == [(d.impath, d.label, d.classname) for d in alone.train_x] and drawn
