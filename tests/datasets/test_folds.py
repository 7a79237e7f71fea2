"""Shots that are held out for a cross-validation, and collections of which every image is for training."""

from __future__ import annotations

from pathlib import Path

import pytest
from dassl.data.datasets import build_dataset

from common.errors import InputError
from datasets.declared import register_collection
from datasets.fewshot import TaskImages, all_images, read_fold, without_fold
from prompting.tasks import Task
from tests.support.configs import dataset_config
from tests.support.images import write_images

NAMES = ("rose", "tulip", "daisy")
COUNTS = (8, 5, 1)


def task_images() -> TaskImages:
    """Eight, five and one training images of three classes, and one of each for validation and testing."""
    train = [(f"{name}/{i}.jpg", c) for c, name in enumerate(NAMES) for i in range(COUNTS[c])]
    rest = [[(f"{part}/{name}.jpg", c) for c, name in enumerate(NAMES)] for part in ("val", "test")]
    return TaskImages(Task("t", NAMES), "t", NAMES, train, *rest)


def test_every_image_is_held_out_once_but_the_only_one_of_a_class() -> None:
    images = task_images()
    folds = [without_fold(images, f"{k}/4") for k in range(1, 5)]
    assert sorted(sample for fold in folds for sample in fold.test) == sorted(images.train[:-1])
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == sorted(images.train) and not fold.val
        assert {index for _, index in fold.train} == {0, 1, 2}
    assert folds[1].test == [("rose/1.jpg", 0), ("rose/5.jpg", 0), ("tulip/1.jpg", 1)]
    assert images == task_images()


def test_folds_that_cannot_be() -> None:
    for wrong in ("1", "0/4", "5/4", "1/1", "a/b", "1/2/3", "-1/4", " 1/4", "1/4\n", "²/4"):
        with pytest.raises(InputError, match="it must be one of at least two folds, such as 2/5"):
            read_fold(wrong)
    assert read_fold("4/4") == (4, 4)
    with pytest.raises(InputError, match="DATASET.FOLD is 9/9, but no class of task 't' has 9 images for training"):
        without_fold(task_images(), "9/9")
    few = TaskImages(Task("t", ("rose",)), "t", ("rose",), [("a", 0)], [], [])
    with pytest.raises(InputError, match="has 2 images for training; ask for fewer shots"):
        without_fold(few, "1/2")


def test_all_images() -> None:
    images = task_images()
    images.val.append(images.train[0])  # published splits may have such images
    both = all_images(images)
    assert len(both.train) == len(set(both.train)) == 14 + 3 + 3 and not both.val and not both.test


@pytest.fixture
def cfg(tmp_path: Path):
    declaration = tmp_path / "tiny_folds.yaml"
    declaration.write_text("tasks:\n  - name: kind\n    folder: kinds\n")
    for name in NAMES:
        write_images(tmp_path / "kinds" / name, 20)
    cfg = dataset_config(tmp_path, register_collection(declaration))
    cfg.DATASET.NUM_SHOTS = 4
    return cfg


def names(items) -> set[str]:
    return {item.impath for item in items}


def test_a_collections_fold_has_nothing_but_shots(cfg) -> None:
    usual = build_dataset(cfg)
    held = set()
    for k in range(1, 5):
        cfg.DATASET.FOLD = f"{k}/4"
        fold = build_dataset(cfg)
        assert names(fold.train_x) | names(fold.test) == names(usual.train_x) and not fold.val
        assert not names(fold.train_x) & names(fold.test) and len(fold.test) == 3
        held |= names(fold.test)
    assert held == names(usual.train_x) and not held & (names(usual.test) | names(usual.val))
    cfg.DATASET.ALL_IMAGES = True
    with pytest.raises(InputError, match="DATASET.FOLD is 4/4, but DATASET.ALL_IMAGES is set"):
        build_dataset(cfg)


def test_a_collection_of_which_every_image_is_for_training(cfg) -> None:
    assert not build_dataset(cfg).untested
    cfg.DATASET.ALL_IMAGES = True
    dataset = build_dataset(cfg)
    assert dataset.untested and len(dataset.train_x) == 60 and not dataset.val and not dataset.test_only
