"""The sources of Plant-6, RS-8 and Fashion-20: original layouts, class lists, splits and error messages."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from dassl.data.datasets import DATASET_REGISTRY

import datasets  # noqa: F401 -- registers them
from common.errors import InputError
from common.paths import REPOSITORY
from datasets.fewshot import TaskImages
from datasets.images import read_image
from datasets.layouts import scene_phrase
from datasets.source import Source
from tests.support.class_lists import FASHION_KINDS, FASHION_SIZES, FASHION_TASKS, fashion_names
from tests.support.configs import dataset_config
from tests.support.releases import (
    GROUPS,
    OFFICIAL_SPLITS,
    POOLS,
    RELEASES,
    RSICB128_CLASSES,
    fill_folder,
    write_release,
)

TEMPLATES = {
    "fruit_vegetable": "a photo of a {}, a type of fruit or vegetable.",
    "kaggle_flower": "a photo of a {}, a type of flower.",
    "kaggle_mushroom": "a photo of a {}, a type of mushroom.",
    "kaggle_vegetable": "a photo of a {}, a type of vegetable.",
    "plant_seedling": "a photo of a {}, a type of seedling.",
    "plant_village": "a photo of a plant leaf with {} disease.",
}
CLASSES = {
    "fruit_vegetable": 36, "kaggle_flower": 5, "kaggle_mushroom": 9, "kaggle_vegetable": 15, "plant_seedling": 12,
    "plant_village": 39, "aid": 30, "resisc45": 45, "optimal31": 31, "rsicb128": 45, "rsscn7": 7, "nasc_tg2": 10,
    "ucmerced": 21, "whurs19": 19,
}  # fmt: skip


def source(name: str) -> type[Source]:
    """The data set class that a config file names."""
    config = yaml.safe_load((REPOSITORY / "configs/datasets" / f"{name}.yaml").read_text("utf-8"))
    return DATASET_REGISTRY.get(config["DATASET"]["NAME"])


def read(name: str, root: Path) -> TaskImages:
    """Read a source's only task."""
    (images,) = source(name).tasks(root)
    return images


def sizes(images: TaskImages) -> list[int]:
    return [len(images.train), len(images.val), len(images.test)]


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_is_read_in_its_original_layout(tmp_path, name):
    write_release(tmp_path, name, count=10)
    images, expected = read(name, tmp_path), RELEASES[name][2]
    assert images.task.classnames == tuple(expected[folder] for folder in sorted(expected))
    assert len(images.task.classnames) == CLASSES[name] == source(name).facts.classes
    assert images.task.template == TEMPLATES.get(name, "a satellite photo of {}.")
    assert images.task.metric == "A"
    assert source(name).name() == name
    per_class = [5, 2, 3] if name in POOLS else [12, 10, 11]
    assert sizes(images) == [n * CLASSES[name] for n in per_class]
    folders = sorted(expected)
    for part in (images.train, images.val, images.test):
        assert {(Path(path).parent.name, index) for path, index in part} == {(f, i) for i, f in enumerate(folders)}
    assert len({path for part in (images.train, images.val, images.test) for path, _ in part}) == sum(sizes(images))


def test_few_shots_of_a_registered_source(tmp_path):
    write_release(tmp_path, "kaggle_flower", count=10)
    dataset = DATASET_REGISTRY.get("KaggleFlower")(dataset_config(tmp_path, "KaggleFlower"))
    assert [len(dataset.train_x), len(dataset.val), len(dataset.test)] == [10, 10, 15]
    assert dataset.classnames == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert dataset.layout.tasks[0].name == "common flower"


@pytest.mark.parametrize("name", ["plant_seedling", "rsicb128", "plant_village"])
def test_images_can_be_decoded(tmp_path, name):
    write_release(tmp_path, name)
    assert read_image(read(name, tmp_path).train[0][0]).size == (8, 8)


@pytest.mark.parametrize("name", OFFICIAL_SPLITS)
def test_official_splits_are_kept(tmp_path, name):
    write_release(tmp_path, name, count=3)
    images = read(name, tmp_path)
    for part, folder in (("train", "train"), ("val", "validation"), ("test", "test")):
        assert {Path(path).parents[1].name for path, _ in getattr(images, part)} == {folder}


@pytest.mark.parametrize("name, other", [("fruit_vegetable", ""), ("kaggle_vegetable", "Vegetable Images")])
def test_kaggle_archives_may_keep_their_original_folders(tmp_path, name, other):
    place = write_release(tmp_path, name)
    if other:
        place.rename(place.parent / other)
    else:
        for part in place.iterdir():
            part.rename(place.parent / part.name)
        place.rmdir()
    assert len(read(name, tmp_path).task.classnames) == CLASSES[name]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_an_incomplete_official_split(tmp_path, part):
    place = write_release(tmp_path, "kaggle_vegetable")
    shutil.rmtree(place / part / "Papaya")
    with pytest.raises(InputError, match="Class folder 'Papaya' is in only one of .*train and .*complete"):
        read("kaggle_vegetable", tmp_path)
    shutil.rmtree(place / part)
    with pytest.raises(InputError, match=f"images has no folder '{part}'; is the data set unpacked completely"):
        read("kaggle_vegetable", tmp_path)


def write_split(path: Path, names: list, rows: dict[str, list], tasks: Sequence[str] = ("a task",)) -> None:
    """Write a split file in the released code's format: rows of [path, [label], [task]]."""
    meta = {"taskid2cname": names, "taskid2tname": tasks}
    path.write_text(json.dumps({**rows, "meta": meta}), encoding="utf-8")


@pytest.mark.parametrize(
    "name, split",
    [
        ("fruit_vegetable", "split_dk_FruitVegetable.json"),
        ("kaggle_flower", "split_dk_kaggle_flower.json"),
        ("kaggle_mushroom", "split_dk_KaggleMushroom.json"),
        ("kaggle_vegetable", "split_dk_KaggleVegetable.json"),
        ("plant_seedling", "split_dk_PlantSeedlingV1.json"),
        ("plant_village", "split_dk_PlantVillage.json"),
    ],
)
def test_released_splits_are_used_instead_of_our_own(tmp_path, name, split):
    place = write_release(tmp_path, name)
    files = sorted(str(file.relative_to(place)) for file in place.rglob("*.*"))[:4]
    rows = {"train": [[files[0], [1], [0]], [files[1], [0], [0]]], "val": [[files[2], [0], [0]]],
            "test": [[files[3], [1], [0]]]}  # fmt: skip
    write_split(place.parent / split, [["one phrase", "another_phrase"]], rows)
    images = read(name, tmp_path)
    assert images.task.classnames == ("one phrase", "another phrase")
    assert images.train == [(str(place / files[0]), 1), (str(place / files[1]), 0)]
    assert images.val == [(str(place / files[2]), 0)]
    assert images.test == [(str(place / files[3]), 1)]


@pytest.mark.parametrize("spelling", ["Shepherds Purse", "Shepherd\u0393\u00c7\u00d6s Purse"])
def test_the_apostrophe_in_a_folder_name_does_not_change_draws(tmp_path, spelling):
    place = write_release(tmp_path, "plant_seedling", count=10)
    before = read("plant_seedling", tmp_path)
    (place / "Shepherd\u2019s Purse").rename(place / spelling)
    after = read("plant_seedling", tmp_path)
    assert before.folders == after.folders and before.task == after.task
    assert [Path(path).name for path, _ in before.train] == [Path(path).name for path, _ in after.train]


def test_copies_and_other_files_among_flowers_are_ignored(tmp_path):
    place = write_release(tmp_path, "kaggle_flower")
    shutil.copytree(place, tmp_path / "copy")
    (tmp_path / "copy").rename(place / "flowers")
    (place / "dandelion/flickr.py").write_text("")
    images = read("kaggle_flower", tmp_path)
    assert images.folders == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert sum(sizes(images)) == 10


def test_group_folders_are_ignored(tmp_path):
    place = write_release(tmp_path, "rsicb128")
    grouped = read("rsicb128", tmp_path)
    assert grouped.folders == tuple(RSICB128_CLASSES)
    assert all(GROUPS[Path(path).parent.name] == Path(path).parents[1].name for path, _ in grouped.train)
    shutil.copytree(place / "woodland/forest", place / "other land/forest")
    with pytest.raises(InputError, match="woodland/forest has the same name as .*other land.*classes must differ"):
        read("rsicb128", tmp_path)
    shutil.rmtree(place / "other land/forest")
    for folder in list(place.glob("*/*")):
        folder.rename(place / folder.name)
    for group in set(GROUPS.values()):
        (place / group).rmdir()
    flat = read("rsicb128", tmp_path)
    assert flat.task == grouped.task and sizes(flat) == sizes(grouped)
    shutil.rmtree(place)
    place.mkdir()
    with pytest.raises(InputError, match="RSI-CB128 has no class folders"):
        read("rsicb128", tmp_path)


@pytest.mark.parametrize(
    "folder, name",
    [("StorageTanks", "storage tanks"), ("sparse_residential", "sparse residential area"), ("Parking", "parking lot"),
     ("Commercial", "commercial area"), ("commercial_area", "commercial area"), ("parking_lot", "parking lot")],
)  # fmt: skip
def test_names_of_scenes(folder, name):
    assert scene_phrase(folder) == name


@pytest.mark.parametrize("name", [*RELEASES, "fashion20"])
def test_the_error_for_a_missing_source_names_the_searched_places(tmp_path, name):
    kind = source(name)
    with pytest.raises(InputError) as error:
        kind.tasks(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{kind.__name__} is not in {tmp_path / kind.folders[0]}")
    assert f"scripts/datasets/prepare.sh {name}" in message and "\n" not in message


@pytest.mark.parametrize("name", RELEASES)
def test_the_error_for_an_empty_class_names_it(tmp_path, name):
    place = write_release(tmp_path, name)
    folder = next(file.parent for file in sorted(place.rglob("*.*"), reverse=True))
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(InputError) as error:
        read(name, tmp_path)
    assert str(error.value).startswith(f"Class folder {folder} ") and str(error.value).endswith(
        "holds no images that can be read."
    )


@pytest.mark.parametrize("name", [*RELEASES, "fashion20"])
def test_the_facts_about_a_source_are_complete(name):
    facts = source(name).facts
    assert facts.home.startswith("http") and facts.licence and facts.size
    assert facts.downloads or facts.steps
    assert facts.split is None or sum(facts.split) == facts.images
    for step in facts.steps[1:]:
        assert any(folder in step for folder in source(name).folders)


# -- Fashion-20 --


def test_fashion_has_20_tasks_of_its_own(tmp_path):
    write_release(tmp_path, "fashion20", count=10)
    tasks = source("fashion20").tasks(tmp_path)
    assert [images.task.name for images in tasks] == FASHION_TASKS
    assert [images.task.template for images in tasks] == [f"a photo of {{}}, a type of {k}." for k in FASHION_KINDS]
    assert {images.task.metric for images in tasks} == {"C"}
    assert len({images.source for images in tasks}) == 20
    for i, images in enumerate(tasks):
        assert images.task.classnames == tuple(fashion_names(i))
        assert sizes(images) == [n * FASHION_SIZES[i] for n in (5, 2, 3)]
        for path, index in images.train + images.val + images.test:
            assert Path(path).parts[-3:-1] == (str(i), str(index))


def test_fashion_as_a_dassl_data_set(tmp_path):
    write_release(tmp_path, "fashion20", count=10)
    dataset = DATASET_REGISTRY.get("Fashion20")(dataset_config(tmp_path, "Fashion20"))
    assert dataset.layout.n_classes == 78 and len(dataset.layout) == 20
    assert len(dataset.train_x) == 2 * 78 and len(dataset.test) == 3 * 78


def fashion_rows(place: Path) -> dict[str, list]:
    """One image per class for training and one for testing, in reverse order of tasks."""
    rows: dict[str, list] = {"train": [], "val": [], "test": []}
    for task in reversed(range(20)):
        for index in range(FASHION_SIZES[task]):
            files = sorted((place / f"{task}/{index}").iterdir())
            for part, file in zip(("train", "test"), files, strict=True):
                rows[part].append([str(file.relative_to(place)), [index], [task]])
    return rows


def test_fashion_with_the_released_split(tmp_path):
    place = write_release(tmp_path, "fashion20")
    rows = fashion_rows(place)
    rows["val"] = [rows["test"].pop()]
    split = place.parent / "split_dk_Fashion20.json"
    write_split(split, [], rows, FASHION_TASKS)
    tasks = source("fashion20").tasks(tmp_path)
    assert [sizes(images) for images in tasks] == [[12, 1, 11], *([n, 0, n] for n in FASHION_SIZES[1:])]
    assert [images.task.classnames for images in tasks] == [tuple(fashion_names(i)) for i in range(20)]
    assert tasks[0].val == [(str(place / rows["val"][0][0]), 11)]
    assert all(Path(path).parts[-3:-1] == ("7", str(index)) for path, index in tasks[7].train)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows.pop("val"), "not a split file of Fashion-20 .KeyError: 'val'.*fetch it again, or remove it"),
        (lambda rows: rows["train"].append(["0/0/x.jpg", 0, 0]), "not a split file of Fashion-20 .TypeError"),
        (lambda rows: rows["train"].append(["0/0/x.jpg", [12], [0]]), "class 12 of task 'pants type' has no name"),
        (lambda rows: rows["train"].append(["0/0/x.jpg", [0], [20]]), "task 20 is not from 0 to 19"),
        (lambda rows: rows["train"].append(["0/0/x.jpg", [0], [-1]]), "task -1 is not from 0 to 19"),
        (lambda rows: rows["test"].append(["0/0/x.jpg", [0], [0]]), "images/0/0/x.jpg is missing, but the split"),
    ],
)  # fmt: skip
def test_an_invalid_split_of_fashion(tmp_path, change, message):
    place = write_release(tmp_path, "fashion20")
    rows = fashion_rows(place)
    change(rows)
    write_split(place.parent / "split_dk_Fashion20.json", [], rows)
    with pytest.raises(InputError, match=message) as error:
        source("fashion20").tasks(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line, message",
    [
        ("3 collar type Which? a,b", "line 5: a task needs four tab-separated columns"),
        ("3\tcollar type\ta,b", "line 5: a task needs four tab-separated columns"),
        ("3\t\tWhich?\ta,b", "line 5: a task needs four tab-separated columns"),
        ("3\tcollar type\tWhich?\ta,,b", "line 5: a task needs four tab-separated columns"),
        ("3\tcollar type\tWhich?\ta, b,a", "line 5: Classes 'a' and 'a' of task 'collar type'"),
        ("", "has 19 tasks and should have 20"),
    ],
)
def test_a_malformed_task_file(tmp_path, line, message):
    file = write_release(tmp_path, "fashion20").parent / "task_info.csv"
    rows = file.read_text("utf-8").splitlines()
    rows[4] = line
    file.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        source("fashion20").tasks(tmp_path)
    assert str(error.value).startswith(str(file)) and "\n" not in str(error.value)


def test_a_missing_task_file(tmp_path):
    file = write_release(tmp_path, "fashion20").parent / "task_info.csv"
    file.unlink()
    with pytest.raises(InputError, match="task_info.csv cannot be read"):
        source("fashion20").tasks(tmp_path)


def test_a_task_of_fashion_without_images(tmp_path):
    place = write_release(tmp_path, "fashion20")
    for file in (place / "5/1").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="images/5/1 of task 'sleeve length' holds no images"):
        source("fashion20").tasks(tmp_path)
    (place / "5/1").rmdir()
    with pytest.raises(InputError, match="images/5/1 of task 'sleeve length' is missing"):
        source("fashion20").tasks(tmp_path)


def test_more_class_folders_than_names(tmp_path):
    place = write_release(tmp_path, "fashion20")
    fill_folder(place / "5/3", 2, "jpg", tmp_path)
    with pytest.raises(
        InputError, match="images/5/3 is a class of task 'sleeve length' without a name in task_info.csv"
    ):
        source("fashion20").tasks(tmp_path)
