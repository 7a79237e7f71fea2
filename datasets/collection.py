"""A collection of tasks as a Dassl data set.

In Dassl's terms, a sample's ``label`` is its class on the flat axis of all tasks and its ``domain`` is its task, so
batches from Dassl's own loaders carry everything that multi-task methods need. ``dataset.layout`` describes the tasks.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from dassl.data.datasets import DatasetBase, Datum
from PIL import Image
from yacs.config import CfgNode

from common.errors import InputError
from common.notices import notice
from common.text import counted
from datasets.fewshot import Samples, few_shot, load_or_draw
from datasets.images import data_root
from prompting.tasks import Task, TaskLayout

VALIDATION_SHOTS = 4  # the literature uses min(shots, 4) validation images per class
SUBSETS = ("all", "base", "new")
# Formats that Pillow opens and that are not pictures, or need a program beside it.
NOT_PICTURES = {".bufr", ".eps", ".fit", ".fits", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps"}
CLUTTER = {"thumbs.db", "desktop.ini"}  # what file managers leave
NOT_READ = 3  # kinds of files in a message


@dataclass
class TaskImages:
    """One task and its images. ``source`` and ``folders`` say where they are stored; draws depend on both."""

    task: Task
    source: str
    folders: tuple[str, ...]  # one per class
    train: Samples = field(default_factory=list)
    val: Samples = field(default_factory=list)
    test: Samples = field(default_factory=list)

    def with_classes(self, classes: range) -> TaskImages:
        """The task restricted to some of its classes, renumbered from 0."""
        parts = {
            part: [(path, index - classes.start) for path, index in getattr(self, part) if index in classes]
            for part in ("train", "val", "test")
        }
        task = replace(self.task, classnames=self.task.classnames[classes.start : classes.stop])
        return TaskImages(task, self.source, self.folders[classes.start : classes.stop], **parts)


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
        self.test_only = not any(images.train for images in tasks)
        if not self.test_only and shots >= 1:
            tasks = [self._few_shot(images, shots, seed, root, allow_fewer) for images in tasks]
        tasks = [images.with_classes(select_classes(images.task, classes)) for images in tasks]
        self.layout = TaskLayout(tuple(images.task for images in tasks))
        parts: dict[str, list[Datum]] = {
            part: [datum for t, images in enumerate(tasks) for datum in self._data(t, getattr(images, part))]
            for part in ("train", "val", "test")
        }
        super().__init__(train_x=parts["train"] or parts["test"], val=parts["val"], test=parts["test"])

    @staticmethod
    def _few_shot(images: TaskImages, shots: int, seed: int, root: Path, allow_fewer: bool) -> TaskImages:
        """The task with ``shots`` training images per class and at most VALIDATION_SHOTS validation images."""

        def draw() -> tuple[Samples, Samples]:
            where = images.source, images.folders
            val_shots = min(shots, VALIDATION_SHOTS)
            return (
                few_shot(images.train, shots, seed, *where, allow_fewer),
                few_shot(images.val, val_shots, seed, *where, allow_fewer=True),
            )

        pools = images.train, images.val
        train, val = load_or_draw(draw, pools, root, images.source, f"shots_{shots}-seed_{seed}")
        return replace(images, train=train, val=val)

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        """The collection's tasks with all their images, in a fixed order; InputError when something is missing."""
        raise NotImplementedError

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


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of all pictures that Pillow reads here; HEIC and HEIF are among them if pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return tuple(sorted(readable - NOT_PICTURES))


def not_read(folder: Path) -> tuple[list[str], list[str]]:
    """Names in a folder of images that are left out: files that are not images, and folders."""
    with os.scandir(folder) as entries:
        others = sorted(
            (e for e in entries if e.name[0] != "." and e.name.lower() not in CLUTTER), key=lambda e: e.name
        )
    files = [e.name for e in others if not e.is_dir() and not e.name.lower().endswith(image_suffixes())]
    return files, [e.name for e in others if e.is_dir()]


def left_out(folders: Sequence[Path]) -> str:
    """What is left out of some class folders, in a few words; empty if nothing is."""
    files: list[str] = []
    inner: list[str] = []
    for folder in folders:
        found = not_read(folder)
        files += found[0]
        inner += found[1]
    kinds = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in files)
    listed = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(NOT_READ))
    more = " .." if len(kinds) > NOT_READ else ""
    heic = "; HEIC needs pillow-heif (pip install pillow-heif)" if {".heic", ".heif"} & kinds.keys() else ""
    parts = [f"{counted(len(files), 'file')} ({listed}{more})"] if files else []
    parts += [counted(len(inner), "folder inside them", "folders inside them")] if inner else []
    return f"{' and '.join(parts)} in the class folders are not read{heic}" if parts else ""


def list_images(folder: Path) -> list[str]:
    """Paths of the image files directly in a folder, without hidden ones, in alphabetical order."""
    with os.scandir(folder) as entries:
        return sorted(e.path for e in entries if e.name[0] != "." and e.name.lower().endswith(image_suffixes()))


def read_class_folders(
    folder: Path, task: str, readable: dict[str, str], ignore: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``.

    Args:
        folder: the task's folder.
        task: its name, for messages.
        readable: class names by folder, where underscores turned into spaces are not enough.
        ignore: folders that are not classes.

    Returns:
        class folders in alphabetical order, their class names, and (path, class index) samples.

    Raises:
        InputError: the folder is missing or empty, a class has no images, two classes have the same name, or
            ``readable`` names a folder that does not exist.
    """
    if not folder.is_dir():
        raise InputError(
            f"Folder {folder} of task '{task}' is missing; is --data (DATASET.ROOT) the folder that holds it?"
        )
    entries = (entry for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    folders = sorted(entry.name for entry in entries if entry.name not in ignore)
    if not folders:
        raise InputError(
            f"Folder {folder} of task '{task}' has no class folders; it should hold one folder of images per class."
        )
    stray = sorted(set(readable) - set(folders))
    if stray:
        raise InputError(f"Task '{task}' names the class folder '{stray[0]}', which is not in {folder}.")
    names = tuple(readable.get(name, name.replace("_", " ")) for name in folders)
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise InputError(
            f"Class name '{duplicates[0]}' is used twice in task '{task}'; give the folders different names."
        )
    samples: Samples = []
    for index, name in enumerate(folders):
        images = list_images(folder / name)
        if not images:
            skipped = left_out([folder / name])
            raise InputError(
                f"Class folder {folder / name} of task '{task}' holds no images that can be read"
                f"{f': {skipped}' if skipped else ''}."
            )
        samples += [(path, index) for path in images]
    skipped = left_out([folder / name for name in folders])
    if skipped:
        notice(f"{folder}: {skipped}.")
    return tuple(folders), names, samples
