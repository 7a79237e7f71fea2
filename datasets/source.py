"""Source data sets: one public data set each, read from its original release, and collections as lists of them.

A source is a small class: where its folder is looked for, which published split it has, how its original layout is
read, its task. It is registered and usable alone; a collection (datasets/collections/) names the sources that it
consists of and copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import InputError
from datasets.collection import TaskCollection, TaskImages
from datasets.fewshot import Samples, by_class, draw, split_in_three
from datasets.layouts import Release, read_split
from prompting.tasks import Task

VALIDATION_PERCENT = 20  # of the training images, where a release has a test split but none for validation


@dataclass(frozen=True)
class Download:
    """One file that `prepare.sh` fetches."""

    url: str  # http(s) address, or gdrive:<file id>
    to: str  # below the data root: the file itself, or with ``unpack`` the folder to unpack it in ("": the root)
    md5: str = ""  # "" where none is published
    unpack: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a source, for `check.sh`, `prepare.sh` and docs/datasets.md."""

    classes: int
    images: int  # in the original release, unless said otherwise
    split: tuple[int, int, int] | None  # images in train, val and test of the published split; None: no published one
    licence: str
    size: str  # of the download, e.g. "600 MB"
    home: str  # address of its page
    downloads: tuple[Download, ...] = ()
    steps: tuple[str, ...] = ()  # what a person has to do where nothing can be fetched (log-ins)


class Source(TaskCollection):
    """One source data set: a collection of one task."""

    folders: tuple[str, ...]  # below the data root: where CoOp's instructions put it, then other places that are common
    images: str = ""  # the folder, below that one, to which paths in split files are relative
    split_files: tuple[str, ...] = ()  # published splits, the first that is there counts
    task_name: str
    template: str = "a photo of a {}."
    metric: str = "A"
    facts: Facts

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        return self.tasks(root)

    @classmethod
    def name(cls) -> str:
        """What users type: the name of its file, which configs/datasets/ bears too."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def find_folder(cls, root: Path) -> Path:
        """The source's folder; InputError naming the places looked at when there is none."""
        places = [root / folder for folder in cls.folders]
        for place in places:
            if place.is_dir():
                return place
        raise InputError(
            f"{cls.__name__} is not in {' or '.join(map(str, places))}; "
            f"`bash scripts/datasets/prepare.sh {cls.name()}` fetches it or says how, --data names another data root."
        )

    @classmethod
    def tasks(cls, root: Path) -> list[TaskImages]:
        """The source's tasks with all their images."""
        folder = cls.find_folder(root)
        for split in cls.split_files:
            if (folder / split).is_file():
                release = read_split(folder / split, folder / cls.images)
                break
        else:
            release = cls.read(folder)
        task = Task(cls.task_name, release.classnames, cls.template, cls.metric)
        return [complete(task, cls.folders[0], release)]

    @classmethod
    def read(cls, folder: Path) -> Release:
        """Read the original release's layout; InputError when something is missing."""
        raise NotImplementedError


@dataclass(frozen=True)
class Part:
    """A source in a collection, with what the collection wants otherwise; None: as the source has it."""

    source: type[Source]
    task_name: str | None = None
    template: str | None = None
    metric: str | None = None

    def tasks(self, root: Path) -> list[TaskImages]:
        """The source's tasks, as the collection wants them."""
        changes = {"name": self.task_name, "template": self.template, "metric": self.metric}
        changes = {key: value for key, value in changes.items() if value is not None}
        return [replace(images, task=replace(images.task, **changes)) for images in self.source.tasks(root)]


class SourceCollection(TaskCollection):
    """A collection of sources, in the order of ``parts``."""

    parts: tuple[Part, ...]

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        return [task for part in self.parts for task in part.tasks(root)]


def complete(task: Task, source: str, release: Release) -> TaskImages:
    """A task's images with every split; those that the release lacks are drawn, always the same."""
    train, val, test = release.train, release.val, release.test
    if test is None:
        train, val, test = split_in_three(train, source, release.keys)
    elif val is None:
        train, val = hold_out(train, source, release.keys)
    return TaskImages(task, source, release.keys, train, val, test)


def hold_out(samples: Samples, source: str, keys: Sequence[str]) -> tuple[Samples, Samples]:
    """Keep VALIDATION_PERCENT of every class for validation, but never its last training image."""
    train: Samples = []
    val: Samples = []
    for index, group in by_class(samples).items():
        shuffled = draw(group, 0, source, keys[index], "validation")
        held = min(round(len(group) * VALIDATION_PERCENT / 100), len(group) - 1)
        val += shuffled[:held]
        train += shuffled[held:]
    return train, val
