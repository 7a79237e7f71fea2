"""Draws of CoOp's repository (pickles) and of cross-modal adaptation (JSON), in the place of our own."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from dassl.data.datasets import DatasetBase, Datum, build_dataset

from common.errors import InputError
from datasets.published_draws import read_record
from tests.support.configs import dataset_config
from tests.support.images import write_images

CLASSES = ("banded", "blotchy", "dotted")
THEIRS = "/home/someone/data/dtd/images"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """DTD in miniature with CoOp's split: images 0 to 5 of a class for training, 6 to 8 validation, 9 to 11 tests."""
    parts: dict[str, list] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(CLASSES):
        write_images(tmp_path / "dtd" / "images" / name, 12, seed=label)
        for number in range(12):
            part = "train" if number < 6 else "val" if number < 9 else "test"
            parts[part].append([f"{name}/{number}.jpg", label, name])
    (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(parts))
    return tmp_path


def build(root: Path, draws: str = "published", **options: Any) -> DatasetBase:
    cfg = dataset_config(root, "DescribableTextures")
    cfg.DATASET.DRAWS = draws
    for key, value in options.items():
        cfg.DATASET[key] = value
    return build_dataset(cfg)


def names(items: list[Datum]) -> list[str]:
    return ["/".join(Path(item.impath).parts[-2:]) for item in items]


def datum(name: str, label: int) -> Datum:
    """An image of upstream's, whose file is not on this machine."""
    item = Datum.__new__(Datum)
    item.__dict__.update(_impath=f"{THEIRS}/{name}", _label=label, _domain=0, _classname=name.split("/")[0])
    return item


def pickled(root: Path, train: list[Datum], val: list[Datum] | None, name: str = "shot_2-seed_1.pkl") -> Path:
    path = root / "dtd" / "split_fewshot" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps({"train": train} | ({} if val is None else {"val": val}), pickle.HIGHEST_PROTOCOL))
    return path


def drawn(*numbers: int, labels: tuple[int, ...] = (0, 1, 2)) -> list[Datum]:
    return [datum(f"{name}/{n}.jpg", label) for name, label in zip(CLASSES, labels, strict=True) for n in numbers]


def test_a_pickle_beside_the_images(root, capsys):
    path = pickled(root, drawn(4, 1), drawn(8, 6))
    data = build(root)
    assert names(data.train_x) == [f"{name}/{n}.jpg" for name in CLASSES for n in (4, 1)]
    assert names(data.val) == [f"{name}/{n}.jpg" for name in CLASSES for n in (8, 6)]
    assert all(item.impath.startswith(str(root)) and os.path.exists(item.impath) for item in data.train_x)
    assert [item.classname for item in data.train_x] == [name for name in CLASSES for _ in range(2)]
    assert len(data.test) == 9 and str(path) in capsys.readouterr().out
    assert names(build(root, SUBSAMPLE_CLASSES="new").train_x) == ["dotted/4.jpg", "dotted/1.jpg"]


def test_numbers_of_classes_may_differ(root):
    pickled(root, drawn(4, 1, labels=(7, 2, 30)), drawn(8, 6, labels=(7, 2, 30)))
    data = build(root)
    assert [(item.label, item.classname) for item in data.train_x[::2]] == list(enumerate(CLASSES))


def test_cross_modal_indices(root, tmp_path):
    folder = tmp_path / "cross_modal" / "indices"
    (folder / "DTD").mkdir(parents=True)
    record = {
        part: {
            "data": [
                {"impath": f"./data/dtd/images/{name}/{n}.jpg", "label": label, "classname": name}
                for label, name in enumerate(CLASSES)
                for n in numbers
            ],
            "indices": [0, 1],
        }
        for part, numbers in (("train", (5, 0)), ("val", (7,)))
    }
    (folder / "DTD" / "shot_2-seed_1.json").write_text(json.dumps(record))
    data = build(root, str(folder))
    assert names(data.train_x) == [f"{name}/{n}.jpg" for name in CLASSES for n in (5, 0)]
    assert names(data.val) == [f"{name}/7.jpg" for name in CLASSES]
    with pytest.raises(InputError, match="no published draw of dtd for 2 shots and seed 1 in .*; put it there"):
        build(root)
    folder.rename(root / "indices")  # "published" finds it in the data root too
    assert names(build(root).train_x) == names(data.train_x)


def test_without_validation_images_they_are_drawn_here(root):
    """CoOp's records of ImageNet have none, and are drawn from all training images, some of which are held out here."""
    pickled(root, drawn(4, 6), None)
    val = names(build(root).val)
    assert len(val) == 6 and not {f"{name}/6.jpg" for name in CLASSES} & set(val)


def test_a_draw_that_is_not_asked_for_is_named(root, capsys):
    path = pickled(root, drawn(4, 1), drawn(8, 6))
    data = build(root, "")
    assert f"Not used: {path}; DATASET.DRAWS published" in capsys.readouterr().err
    again = build(root, "", NUM_SHOTS=1)
    assert len(data.train_x) == 6 and len(again.train_x) == 3
    assert "Not used" not in capsys.readouterr().err  # there is none for one shot


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (drawn(4, 9), drawn(8, 6), "banded/9.jpg for training or validation, and here it is a test image"),
        (drawn(4, 1), drawn(8, 1), "banded/1.jpg for training and for validation"),
        (drawn(4, 4), drawn(8, 6), "banded/4.jpg twice"),
        (drawn(4), drawn(8), "1 training image of class 'banded' of task 'dtd', not 2; DATASET.ALLOW_FEWER_SHOTS"),
        (drawn(4, 1, 2), drawn(8), "3 training images of class 'banded' of task 'dtd', not 2[.]"),
        (drawn(4, 12), drawn(8), "banded/12.jpg, which is not among the images here"),
        (drawn(4, 1, labels=(0, 1, 1)), drawn(8), "'blotchy' and 'dotted' in one class"),
        ([*drawn(4, 1)[:5], datum("dotted/1.jpg", 5)], drawn(8), "'dotted' in two classes"),
        ([], drawn(8), "it lists no training images"),
    ],
)
def test_records_that_do_not_fit(root, train, val, message):
    path = pickled(root, train, val)
    with pytest.raises(InputError, match=message) as caught:
        build(root)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_folder_of_draws_is_no_class(root):
    """Of a release without a split, whose class folders lie beside it."""
    (root / "dtd" / "split_zhou_DescribableTextures.json").unlink()
    pickled(root, [], None)
    for name in CLASSES:
        (root / "dtd" / "images" / name).rename(root / "dtd" / name)
    (root / "dtd" / "images").rmdir()
    assert build(root, "").layout.classnames == CLASSES


def test_fewer_images_may_be_allowed(root, capsys):
    pickled(root, drawn(4), drawn(8))
    assert names(build(root, ALLOW_FEWER_SHOTS=True).train_x) == [f"{name}/4.jpg" for name in CLASSES]
    assert "have fewer than 2 training images" in capsys.readouterr().err
    base = build(root, ALLOW_FEWER_SHOTS=True, SUBSAMPLE_CLASSES="base").layout.classnames
    error = capsys.readouterr().err
    assert all((f"{name} of" in error) == (name in base) for name in CLASSES)  # those of the run alone


def test_images_that_two_files_could_be(root):
    train = [datum("banded/4.jpg", 0), datum("4.jpg", 1)]
    train[1].__dict__["_impath"] = "elsewhere/4.jpg"
    pickled(root, train, None)
    with pytest.raises(InputError, match="elsewhere/4.jpg, which may be .*banded/4.jpg or .*blotchy/4.jpg"):
        build(root)


class Bomb:
    """Pickled as a call that creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pickle_runs_no_code(root, tmp_path):
    path = pickled(root, [], None)
    harm = tmp_path / "harm"
    bomb = Bomb(harm)
    nested = datum("banded/4.jpg", 0)
    nested.__dict__["_impath"] = bomb
    for content in ({"train": bomb}, {"train": [nested]}, bomb):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(InputError, match="mkdir, which is not loaded, because it could run code"):
            build(root)
        assert not harm.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps({"train": [("a.jpg", 0)] * 50})[:-9],
        pickle.dumps([1, 2]),
        pickle.dumps({"train": 3}),
        pickle.dumps({"train": [("a.jpg", "0")]}),
        pickle.dumps({"train": [(None, 0)]}),
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\x00\x00.",
        b"(" * 200_000,
    ],
)
def test_damaged_records_are_one_line(tmp_path, content):
    for suffix in (".pkl", ".json"):
        path = tmp_path / f"shot_1-seed_1{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as a few-shot draw") as caught:
            read_record(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(path))


def test_records_of_other_forms(tmp_path):
    path = tmp_path / "shot_1-seed_1.pkl"
    path.write_bytes(pickle.dumps({"train": [["a/b.jpg", 3, "name"]], "val": []}))
    assert read_record(path) == ([("a/b.jpg", 3)], None)
