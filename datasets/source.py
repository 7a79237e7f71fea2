"""Sources and collections of sources. A source is one public data set, read from its original release.

A source is a small class: the folders to search, the published split, a reader of the original layout, and the task.
It is registered and usable on its own. A collection (datasets/collections/) lists its sources and copies nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from common.errors import InputError
from common.files import is_regular
from common.notices import notice
from common.text import counted
from datasets.collection import TaskCollection
from datasets.fewshot import Samples, TaskImages, by_class, draw, split_in_three
from datasets.layouts import (
    RELEASED_METRICS,
    ClassFolders,
    Release,
    class_folders,
    read_classes,
    read_lines,
    scene_phrase,
)
from datasets.places import copies, find_place, plain, resolve, subfolders, unwrap
from datasets.split_files import read_split
from prompting.tasks import METRICS, Task, check_classnames

VALIDATION_PERCENT = 20  # of the training images, if a release has a test split but no validation split
NUMBERED = re.compile(r"\d+[ ._-]+(?=\D)")
TASK_NAME = "task_name.txt"  # the released SoftCPT code's file in a data set's folder


@dataclass(frozen=True)
class Download:
    """One file that `prepare.sh` fetches."""

    url: str  # http(s) URL, or gdrive:<file id>
    to: str  # below the data root: the file itself, or with ``unpack`` the folder to unpack into ("": the root)
    md5: str = ""  # "" if none is published, as for sha256
    unpack: bool = False
    sha256: str = ""
    size: int = 0  # in bytes; 0 if not published


@dataclass(frozen=True)
class Facts:
    """Facts about a source, for `check.sh`, `prepare.sh` and docs/datasets.md."""

    classes: int  # 0 if not known
    images: int  # in the original release, unless noted otherwise; 0 if not known
    split: tuple[int, int, int] | None  # images in train, val and test of the published split; None if there is none
    licence: str
    size: str  # of the download, e.g. "600 MB"
    home: str  # URL of its page
    downloads: tuple[Download, ...] = ()
    steps: tuple[str, ...] = ()  # instructions for the user if something cannot be fetched automatically (log-ins)


# Of a source that states none, such as one of a user's own.
UNKNOWN = Facts(
    classes=0,
    images=0,
    split=None,
    licence="not stated",
    size="not stated",
    home="",
    steps=("Put the images there: a folder per class, or train/ and test/ with a folder per class in each.",),
)


class Source(TaskCollection):
    """One source data set: a collection of one task.

    A subclass needs ``folders`` and ``task_name``, and a `read` of its own unless its images are in class folders.
    """

    folders: tuple[str, ...]  # below the data root: where CoOp's instructions put it, then other common places
    aliases: tuple[str, ...] = ()  # names of copies' folders; letter case, "-" and "_" do not matter
    images: str = ""  # the subfolder that paths in split files are relative to
    image_places: tuple[str, ...] = ()  # other places of the class folders
    split_files: tuple[str, ...] = ()  # published splits; the first that exists is used
    own_split: bool = False  # the release itself has train/, validation/ and test/
    task_name: str
    template: str = "a photo of a {}."
    metric: str = "A"
    class_names: Mapping[str, str] = {}  # names in prompts, by class key, where spaces for "_" are not enough
    ignore: tuple[str, ...] = ()  # folders that are not classes
    names_repeat: bool = False  # the published names of some classes are the same
    facts: Facts = UNKNOWN

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        return self.tasks(root)

    @classmethod
    def name(cls) -> str:
        """The name that users type: that of its module and of its file in configs/datasets/."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def find_folders(cls, root: Path) -> list[Path]:
        """All folders that the source may be in, those named as in ``folders`` first."""
        exact = [root / folder for folder in cls.folders if os.path.isdir(root / folder)]
        alike = []
        for folder in (*cls.folders, *cls.aliases):
            first, *rest = folder.split("/")
            places = [child for child in subfolders(root) if plain(child.name) == plain(first)]
            alike += [resolve(place, "/".join(rest), inner=False) for place in places]
        return list(dict.fromkeys([*exact, *(folder for folder in alike if folder is not None)]))

    @classmethod
    def find_folder(cls, root: Path) -> Path:
        """The source's folder, rather one that holds folders; InputError naming the searched places if none exists."""
        found = cls.find_folders(root)
        if found:
            return next((folder for folder in found if subfolders(folder)), found[0])
        places = [root / folder for folder in cls.folders]
        raise InputError(
            f"{cls.__name__} is not in {' or '.join(map(str, places))}; "
            f"`bash scripts/datasets/prepare.sh {cls.name()}` fetches it or explains how; --data sets the data root."
        )

    @classmethod
    def find_split(cls, root: Path) -> Path | None:
        """The published split that is used; None if there is none."""
        places = [p for folder in cls.find_folders(root) for p in (folder, *subfolders(folder), unwrap(folder))]
        found = [place / name for name in cls.split_files for place in places if is_regular(place / name)]
        for other in {file.name: file for file in found}.values():
            if other.name != found[0].name:
                notice(f"{cls.name()}: {other} is not used, because {found[0]} is there.")
        return found[0] if found else None

    @classmethod
    def image_folder(cls, folder: Path) -> Path:
        """The folder that paths in lists and split files are relative to."""
        places = (find_place(folder, place) for place in (cls.images, *cls.image_places))
        return next((place for place in places if place is not None), folder / cls.images)

    @classmethod
    def tasks(cls, root: Path) -> list[TaskImages]:
        """The source's tasks with all their images."""
        folder = cls.find_folder(root)
        split = cls.find_split(root)
        if split is None:
            release = cls.read(folder)
            if release.test is None and cls.facts.split:
                lacking = cls.split_files[0] if cls.split_files else "the list of each part"
                notice(f"{cls.name()}: {folder} lacks {lacking}, so each class is split 50/20/30, not as published.")
        else:
            release = read_split(split, cls.image_folder(folder), folder)
            pairs = zip(release.keys, release.classnames, strict=True)
            release.classnames = tuple(cls.class_names.get(cls.key(key), name) for key, name in pairs)
        number = next((name for name in release.classnames if name.isdecimal()), None)
        if number is not None and cls.facts is not UNKNOWN:  # a source of a user's own may well have digits as classes
            raise InputError(
                f"{cls.name()}: {split or folder} calls a class '{number}', which means nothing in a prompt; name the "
                f"class folders as in the release, or fetch it with `bash scripts/datasets/prepare.sh {cls.name()}`."
            )
        name, metric = cls._released_task(cls.find_folders(root), release, split)
        task = Task(name, release.classnames, cls.template, metric)
        return [complete(task, cls.folders[0], release, cls.names_repeat)]

    @classmethod
    def _released_task(cls, folders: Sequence[Path], release: Release, split: Path | None) -> tuple[str, str]:
        """The task's name and metric: those of the released code's split file or task_name.txt, else the source's.

        The meta network reads the name, so a line says where another one than the source's comes from.
        """
        files = [folder / TASK_NAME for folder in folders if is_regular(folder / TASK_NAME)]
        texts = [" ".join(read_lines(file)) for file in files]
        names = [(" ".join(text.replace("_", " ").split()), file) for text, file in zip(texts, files, strict=True)]
        if split is not None and release.task_name:
            names.insert(0, (" ".join(release.task_name.replace("_", " ").split()), split))
        names = [(name, file) for name, file in names if name]
        name, metric = cls.task_name, cls.metric
        if names and names[0][0] != name:
            name = names[0][0]
            notice(f'{cls.name()}: the task is called "{name}", as in {names[0][1]}, instead of "{cls.task_name}".')
        for other, file in names[1:]:
            if other != name:
                notice(f'{cls.name()}: {file} says "{other}", which is not used, because {names[0][1]} says "{name}".')
        if release.metric and release.metric not in RELEASED_METRICS:
            notice(f"{cls.name()}: metric '{release.metric}' of {split} is unknown, so {METRICS[metric]} is used.")
        elif release.metric and RELEASED_METRICS[release.metric] != metric:
            metric = RELEASED_METRICS[release.metric]
            notice(f"{cls.name()}: the metric is {METRICS[metric]}, as in {split}, instead of {METRICS[cls.metric]}.")
        return name, metric

    @classmethod
    def key(cls, folder: str) -> str:
        """A class folder's name in the original release, on which draws depend."""
        return folder

    @classmethod
    def classname(cls, key: str) -> str:
        """The name of a class in prompts."""
        return cls.class_names.get(key, key.replace("_", " "))

    @classmethod
    def read(cls, folder: Path) -> Release:
        """Read a source without a split file; InputError if something is missing."""
        return read_classes(
            folder, (cls.images, *cls.image_places, ""), cls.read_folders, cls.name(), own_split=cls.own_split
        )

    @classmethod
    def read_folders(cls, folder: Path) -> ClassFolders:
        """Read the class folders in a folder. Numbers before the names of all folders ("01.daisy") are left out."""
        ignore = (*cls.ignore, *copies(folder))
        numbered = all(NUMBERED.match(child.name) for child in subfolders(folder) if child.name not in ignore)

        def key(name: str) -> str:
            return cls.key(NUMBERED.sub("", name, count=1) if numbered else name)

        return class_folders(folder, cls.classname, ignore, key)


class SceneSource(Source):
    """A source of remote sensing images, whose class folders are named after scenes."""

    template = "a satellite photo of {}."

    @classmethod
    def classname(cls, key: str) -> str:
        return cls.class_names.get(key, cls.class_names.get(key.lower(), scene_phrase(key)))


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


def complete(task: Task, source: str, release: Release, names_repeat: bool = False) -> TaskImages:
    """A task's images in all three splits; splits that the release lacks are drawn, always the same way.

    Raises:
        InputError: the tokenizer cannot distinguish two classes, unless ``names_repeat``; or an image is for training
            and for testing.
    """
    if not names_repeat:
        check_classnames(task.classnames, task.name, release.keys)
    train, val, test = release.train, release.val, release.test
    if test is None:
        train, val, test = split_in_three(train, source, release.keys)
    elif val is None:
        train, val = hold_out(train, source, release.keys)
    files = {
        part: {os.path.normpath(file) for file, _ in samples}
        for part, samples in (("training", train), ("validation", val), ("testing", test))
    }
    if both := files["training"] & files["testing"]:
        raise InputError(
            f"Image {min(both)} of task '{task.name}' is listed for training and for testing; remove it from one list."
        )
    for part in ("training", "testing"):
        if both := files["validation"] & files[part]:  # published splits may have such images
            found = counted(len(both), "image is", "images are")
            notice(f"{source}: {found} listed for validation and for {part} (task '{task.name}').")
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
