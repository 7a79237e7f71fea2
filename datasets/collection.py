"""A collection of tasks as a Dassl data set.

In Dassl's terms, a sample's ``label`` is its class on the flat axis of all tasks and its ``domain`` is its task, so
batches from Dassl's own loaders carry everything that multi-task methods need. ``dataset.layout`` describes the tasks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from dassl.data.datasets import DatasetBase, Datum
from yacs.config import CfgNode

from common.errors import InputError
from datasets.fewshot import TaskImages, all_images, name_fewer, own_shots, without_fold
from datasets.images import data_root
from datasets.published_draws import name_unused, published_shots
from prompting.tasks import Task, TaskLayout

SUBSETS = ("all", "base", "new")


class TaskCollection(DatasetBase):
    """Base of all our data sets: a subclass returns its tasks and their images from `read_tasks`."""

    def __init__(self, cfg: CfgNode) -> None:
        root = data_root(cfg)
        shots, seed = cfg.DATASET.NUM_SHOTS, cfg.SEED if cfg.SEED >= 0 else random.randrange(1 << 31)
        allow_fewer = getattr(cfg.DATASET, "ALLOW_FEWER_SHOTS", False)
        classes = getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", "all")
        check_choice("DATASET.SUBSAMPLE_CLASSES", classes, SUBSETS)
        tasks = select_tasks(self.read_tasks(cfg, root), getattr(cfg.DATASET, "SUBSAMPLE_TASKS", "all"))
        # ImageNet's variants have test images only. The released code trains on those; we never do (see
        # TaskTrainer.refuse_test_only), but Dassl counts classes in the training images and needs some.
        self.untested = getattr(cfg.DATASET, "ALL_IMAGES", False)
        self.test_only = not self.untested and not any(images.train for images in tasks)
        fold = getattr(cfg.DATASET, "FOLD", "")
        if fold and (self.untested or self.test_only):
            reason = "DATASET.ALL_IMAGES is set" if self.untested else "there are no training images"
            raise InputError(f"DATASET.FOLD is {fold}, but {reason}; leave it out.")
        if self.untested:
            tasks = [all_images(images) for images in tasks]
        elif not self.test_only and shots >= 1:
            draws = getattr(cfg.DATASET, "DRAWS", "")
            if draws:
                tasks = [published_shots(images, draws, shots, seed, root, allow_fewer) for images in tasks]
            else:
                tasks = [own_shots(images, shots, seed, root, allow_fewer) for images in tasks]
                name_unused(tasks, shots, seed, root)
        tasks = [images.with_classes(select_classes(images.task, classes)) for images in tasks]
        self.layout = TaskLayout(tuple(images.task for images in tasks))
        if shots >= 1 and not (self.untested or self.test_only):
            name_fewer(tasks, shots)
        self.fold_pool = self._part(tasks, "train") if fold else []  # what all folds together train on
        if fold:
            tasks = [without_fold(images, fold) for images in tasks]
        parts = {part: self._part(tasks, part) for part in ("train", "val", "test")}
        # Dassl's loaders need some images in both; trainers test nothing if the collection is `untested`.
        test = parts["train"] if self.untested else parts["test"]
        super().__init__(train_x=parts["train"] or parts["test"], val=parts["val"], test=test)

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        """The collection's tasks with all their images, in a fixed order; InputError when something is missing."""
        raise NotImplementedError

    def _part(self, tasks: Sequence[TaskImages], part: str) -> list[Datum]:
        return [datum for t, images in enumerate(tasks) for datum in self._data(t, getattr(images, part))]

    def _data(self, task: int, samples: Sequence[tuple[str, int]]) -> list[Datum]:
        first, names = self.layout.offsets[task], self.layout.tasks[task].classnames
        return [Datum(impath=path, label=first + index, domain=task, classname=names[index]) for path, index in samples]


def check_choice(key: str, value: str, known: Sequence[str]) -> None:
    """Raise InputError unless the config key has one of the known values."""
    if value not in known:
        raise InputError(f"{key} is '{value}'; it must be {', '.join(known[:-1])} or {known[-1]}.")


def half(count: int, which: str) -> range:
    """Indices of the "base" half (rounded up), of the "new" half or of "all" of ``count`` items."""
    middle = (count + 1) // 2
    return {"all": range(count), "base": range(middle), "new": range(middle, count)}[which]


def select_classes(task: Task, which: str) -> range:
    """The task's classes that DATASET.SUBSAMPLE_CLASSES selects."""
    if which != "all" and len(task.classnames) < 2:
        raise InputError(
            f"DATASET.SUBSAMPLE_CLASSES is '{which}', but task '{task.name}' has a single class; halves need at least "
            "two."
        )
    return half(len(task.classnames), which)


def select_tasks(tasks: Sequence[TaskImages], which: str) -> list[TaskImages]:
    """The tasks that DATASET.SUBSAMPLE_TASKS selects: all, base, new, or task<i> (from 0), several joined by +.

    They keep the collection's order, whatever order they are named in.
    """
    numbers = {f"task{i}": i for i in range(len(tasks))}
    parts = which.split("+")
    if all(part in numbers for part in parts):
        return [tasks[i] for i in sorted({numbers[part] for part in parts})]
    if which not in SUBSETS:
        names = [*numbers] if len(numbers) < 5 else [f"task0 to {[*numbers][-1]}"]
        known = [*SUBSETS, *names]
        raise InputError(
            f"DATASET.SUBSAMPLE_TASKS is '{which}'; it must be {', '.join(known[:-1])} or {known[-1]}, or several such "
            "tasks joined by +."
        )
    if which != "all" and len(tasks) < 2:
        raise InputError(f"DATASET.SUBSAMPLE_TASKS is '{which}', but there is a single task; halves need at least two.")
    return [tasks[i] for i in half(len(tasks), which)]


def layout_of(dataset: DatasetBase) -> TaskLayout:
    """The task layout of any Dassl data set; one without a layout is a single task, named after its Python class."""
    layout = getattr(dataset, "layout", None)
    if layout is None:
        layout = TaskLayout((Task(type(dataset).__name__, tuple(dataset.classnames)),))
    return layout
