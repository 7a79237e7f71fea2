"""Sources and collections of sources. A source is one public data set, read from its original release.

A source is a small class: the folders to search, the published split, a reader of the original layout, and the task.
It is registered and usable on its own. A collection (datasets/collections/) lists its sources and copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from common.errors import InputError
from datasets.collection import TaskCollection, TaskImages
from datasets.fewshot import Samples, by_class, draw, split_in_three
from datasets.layouts import Release, read_split
from prompting.tasks import Task

VALIDATION_PERCENT = 20  # of the training images, if a release has a test split but no validation split


@dataclass(frozen=True)
class Download:
    """One file that `prepare.sh` fetches."""

    url: str  # http(s) URL, or gdrive:<file id>
    to: str  # below the data root: the file itself, or with ``unpack`` the folder to unpack into ("": the root)
    md5: str = ""  # "" if none is published
    unpack: bool = False


@dataclass(frozen=True)
class Facts:
    """Facts about a source, for `check.sh`, `prepare.sh` and docs/datasets.md."""

    classes: int
    images: int  # in the original release, unless noted otherwise; 0 if not known
    split: tuple[int, int, int] | None  # images in train, val and test of the published split; None if there is none
    licence: str
    size: str  # of the download, e.g. "600 MB"
    home: str  # URL of its page
    downloads: tuple[Download, ...] = ()
    steps: tuple[str, ...] = ()  # instructions for the user if something cannot be fetched automatically (log-ins)


class Source(TaskCollection):
    """One source data set: a collection of one task."""

    folders: tuple[str, ...]  # below the data root: where CoOp's instructions put it, then other common places
    images: str = ""  # the subfolder that paths in split files are relative to
    split_files: tuple[str, ...] = ()  # published splits; the first that exists is used
    task_name: str
    template: str = "a photo of a {}."
    metric: str = "A"
    facts: Facts

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        return self.tasks(root)

    @classmethod
    def name(cls) -> str:
        """The name that users type: that of its module and of its file in configs/datasets/."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def find_folder(cls, root: Path) -> Path:
        """The source's folder; InputError naming the searched places if there is none."""
        places = [root / folder for folder in cls.folders]
        for place in places:
            if place.is_dir():
                return place
        raise InputError(
            f"{cls.__name__} is not in {' or '.join(map(str, places))}; "
            f"`bash scripts/datasets/prepare.sh {cls.name()}` fetches it or explains how; --data sets the data root."
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
        """Read the original release's layout; InputError if something is missing."""
        raise NotImplementedError


@dataclass(frozen=True)
class Part:
    """A source in a collection, and settings that the collection overrides; None keeps the source's own."""

    source: type[Source]
    task_name: str | None = None
    template: str | None = None
    metric: str | None = None

    def tasks(self, root: Path) -> list[TaskImages]:
        """The source's tasks with the collection's settings."""
        settings = {"name": self.task_name, "template": self.template, "metric": self.metric}
        changes: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
        return [replace(images, task=replace(images.task, **changes)) for images in self.source.tasks(root)]


class SourceCollection(TaskCollection):
    """A collection of sources, in the order of ``parts``."""

    parts: tuple[Part, ...]

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        return [task for part in self.parts for task in part.tasks(root)]


def complete(task: Task, source: str, release: Release) -> TaskImages:
    """A task's images in all three splits; splits that the release lacks are drawn, always the same way."""
    train, val, test = release.train, release.val, release.test
    if test is None:
        train, val, test = split_in_three(train, source, release.keys)
    elif val is None:
        train, val = hold_out(train, source, release.keys)
    return TaskImages(task, source, release.keys, train, val, test)


def hold_out(samples: Samples, source: str, keys: Sequence[str]) -> tuple[Samples, Samples]:
    """Move VALIDATION_PERCENT of every class from training to validation, but never its last training image."""
    train: Samples = []
    val: Samples = []
    for index, group in by_class(samples).items():
        shuffled = draw(group, 0, source, keys[index], "validation")
        held = min(round(len(group) * VALIDATION_PERCENT / 100), len(group) - 1)
        val += shuffled[:held]
        train += shuffled[held:]
    return train, val
