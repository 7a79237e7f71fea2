"""A collection of tasks as a Dassl data set.

In Dassl's terms a sample's ``label`` is its class on the flat axis of all tasks and its ``domain`` is its task, so
batches of Dassl's own loaders carry everything that multi-task methods need. What the tasks are is in
``dataset.layout``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dassl.data.datasets import DatasetBase, Datum

from common.errors import InputError
from datasets.fewshot import Samples, few_shot, recorded
from datasets.images import data_root
from prompting.tasks import Task, TaskLayout

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
VALIDATION_SHOTS = 4  # the literature uses min(shots, 4) validation images a class
SUBSETS = ("all", "base", "new")


@dataclass
class TaskImages:
    """One task and its images. ``source`` and ``folders`` say where they lie: draws depend on them."""

    task: Task
    source: str
    folders: tuple[str, ...]  # one a class
    train: Samples = field(default_factory=list)
    val: Samples = field(default_factory=list)
    test: Samples = field(default_factory=list)

    def with_classes(self, classes: range) -> TaskImages:
        """The task restricted to some of its classes, which are numbered anew."""
        parts = {
            part: [(path, index - classes.start) for path, index in getattr(self, part) if index in classes]
            for part in ("train", "val", "test")
        }
        task = replace(self.task, classnames=self.task.classnames[classes.start : classes.stop])
        return TaskImages(task, self.source, self.folders[classes.start : classes.stop], **parts)


class TaskCollection(DatasetBase):
    """Base of all our data sets: a subclass says in `read_tasks` which tasks there are and where their images lie."""

    def __init__(self, cfg):
        root = data_root(cfg)
        shots, seed = cfg.DATASET.NUM_SHOTS, cfg.SEED if cfg.SEED >= 0 else random.randrange(1 << 31)
        allow_fewer = getattr(cfg.DATASET, "ALLOW_FEWER_SHOTS", False)
        classes = getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", "all")
        check_choice("DATASET.SUBSAMPLE_CLASSES", classes, SUBSETS)
        tasks = chosen_tasks(self.read_tasks(cfg, root), getattr(cfg.DATASET, "SUBSAMPLE_TASKS", "all"))
        # The released code trains and tests ImageNet's variants on what there is, their test images; nothing is trained
        # on them here (see PromptTrainer.before_train), but Dassl wants training images to count classes by.
        self.test_only = not any(images.train for images in tasks)
        if not self.test_only and shots >= 1:
            tasks = [self._few(images, shots, seed, root, allow_fewer) for images in tasks]
        tasks = [images.with_classes(chosen_classes(images.task, classes)) for images in tasks]
        self.layout = TaskLayout(tuple(images.task for images in tasks))
        parts: dict[str, list[Datum]] = {
            part: [datum for t, images in enumerate(tasks) for datum in self._data(t, getattr(images, part))]
            for part in ("train", "val", "test")
        }
        super().__init__(train_x=parts["train"] or parts["test"], val=parts["val"], test=parts["test"])

    @staticmethod
    def _few(images: TaskImages, shots: int, seed: int, root: Path, allow_fewer: bool) -> TaskImages:
        """A task with ``shots`` training images a class, and at most VALIDATION_SHOTS for validation."""

        def draw() -> tuple[Samples, Samples]:
            where = images.source, images.folders
            few_val = min(shots, VALIDATION_SHOTS)
            return (
                few_shot(images.train, shots, seed, *where, allow_fewer),
                few_shot(images.val, few_val, seed, *where, allow_fewer=True),
            )

        pools = images.train, images.val
        train, val = recorded(draw, pools, root, images.source, f"shots_{shots}-seed_{seed}")
        return replace(images, train=train, val=val)

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        """The tasks of the collection with all their images, in a fixed order; InputError when they are not there."""
        raise NotImplementedError

    def _data(self, task: int, samples: Sequence[tuple[str, int]]) -> list[Datum]:
        first, names = self.layout.offsets[task], self.layout.tasks[task].classnames
        return [Datum(impath=path, label=first + index, domain=task, classname=names[index]) for path, index in samples]


def check_choice(key: str, value: str, known: Sequence[str]) -> None:
    """InputError when a config key has a value that it cannot have."""
    if value not in known:
        raise InputError(f"{key} is '{value}'; it must be {', '.join(known[:-1])} or {known[-1]}.")


def half(count: int, which: str) -> range:
    """Of ``count`` things the "base" half, rounded up, the "new" half, or "all"."""
    middle = (count + 1) // 2
    return {"all": range(count), "base": range(middle), "new": range(middle, count)}[which]


def chosen_classes(task: Task, which: str) -> range:
    """The classes of a task that DATASET.SUBSAMPLE_CLASSES names."""
    if which != "all" and len(task.classnames) < 2:
        raise InputError(
            f"DATASET.SUBSAMPLE_CLASSES is '{which}', but task '{task.name}' has a single class, which cannot be "
            "halved."
        )
    return half(len(task.classnames), which)


def chosen_tasks(tasks: Sequence[TaskImages], which: str) -> list[TaskImages]:
    """The tasks that DATASET.SUBSAMPLE_TASKS names: all, base, new, or task<i>, counted from 0, several joined by +.

    In whatever order they are named, they keep the collection's.
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
        raise InputError(f"DATASET.SUBSAMPLE_TASKS is '{which}', but there is a single task, which cannot be halved.")
    return [tasks[i] for i in half(len(tasks), which)]


def layout_of(dataset: DatasetBase) -> TaskLayout:
    """The task layout of any Dassl data set: a plain one is a collection of one task, named after its class."""
    layout = getattr(dataset, "layout", None)
    if layout is None:
        layout = TaskLayout((Task(type(dataset).__name__, tuple(dataset.classnames)),))
    return layout


def list_images(folder: Path) -> list[str]:
    """Paths of the image files right in a folder, hidden ones left out, in alphabetical order."""
    with os.scandir(folder) as entries:
        return sorted(e.path for e in entries if e.name[0] != "." and e.name.lower().endswith(IMAGE_SUFFIXES))


def read_class_folders(
    folder: Path, task: str, readable: dict[str, str], ignore: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``.

    Args:
        folder: the task's folder.
        task: its name, for messages.
        readable: class name of a folder where it is not the folder's own name with spaces for underscores.
        ignore: folders that are no classes.

    Returns:
        class folders in alphabetical order, their class names, and (path, class index) samples.

    Raises:
        InputError: the folder is missing or empty, a class has no images, two classes have one name, a name is for
            no folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"Folder {folder} of task '{task}' is missing; is --data (DATASET.ROOT) the folder that holds it?"
        )
    entries = (entry for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    folders = sorted(entry.name for entry in entries if entry.name not in ignore)
    if not folders:
        raise InputError(
            f"Folder {folder} of task '{task}' has no class folders; it should hold one folder of images a class."
        )
    stray = sorted(set(readable) - set(folders))
    if stray:
        raise InputError(f"Task '{task}' names the class folder '{stray[0]}', which is not in {folder}.")
    names = tuple(readable.get(name, name.replace("_", " ")) for name in folders)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Class name '{twice[0]}' is used twice in task '{task}'; give the folders different names.")
    samples: Samples = []
    for index, name in enumerate(folders):
        images = list_images(folder / name)
        if not images:
            raise InputError(f"Class folder {folder / name} of task '{task}' holds no images.")
        samples += [(path, index) for path in images]
    return tuple(folders), names, samples
