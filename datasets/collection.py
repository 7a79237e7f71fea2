"""A collection of tasks as a Dassl data set.

In Dassl's terms a sample's ``label`` is its class on the flat axis of all tasks and its ``domain`` is its task, so
batches of Dassl's own loaders carry everything that multi-task methods need. What the tasks are is in
``dataset.layout``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum

from datasets.fewshot import few_shot, split_in_three
from datasets.images import data_root
from prompting.errors import InputError
from prompting.tasks import METRICS, Task, TaskLayout

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
VALIDATION_SHOTS = 4  # the literature uses min(shots, 4) validation images a class
Samples = list[tuple[str, int]]  # (path, class index within the task)


@dataclass
class TaskImages:
    """One task and its images. ``source`` and ``folders`` say where they lie: draws depend on them."""

    task: Task
    source: str
    folders: tuple[str, ...]  # one a class
    train: Samples = field(default_factory=list)
    val: Samples = field(default_factory=list)
    test: Samples = field(default_factory=list)


class TaskCollection(DatasetBase):
    """Base of all our data sets: a subclass says in `read_tasks` which tasks there are and where their images lie."""

    def __init__(self, cfg):
        tasks = self.read_tasks(cfg, data_root(cfg))
        self.layout = TaskLayout(tuple(images.task for images in tasks))
        shots, seed = cfg.DATASET.NUM_SHOTS, cfg.SEED if cfg.SEED >= 0 else random.randrange(1 << 31)
        allow_fewer = getattr(cfg.DATASET, "ALLOW_FEWER_SHOTS", False)
        train, val, test = [], [], []
        for index, images in enumerate(tasks):
            where = images.source, images.folders
            few_val = min(shots, VALIDATION_SHOTS)
            train += self._data(index, few_shot(images.train, shots, seed, *where, allow_fewer))
            val += self._data(index, few_shot(images.val, few_val, seed, *where, allow_fewer=True))
            test += self._data(index, images.test)
        super().__init__(train_x=train, val=val, test=test)

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        """The tasks of the collection with all their images, in a fixed order; InputError when they are not there."""
        raise NotImplementedError

    def _data(self, task: int, samples: Sequence[tuple[str, int]]) -> list[Datum]:
        first, names = self.layout.offsets[task], self.layout.tasks[task].classnames
        return [Datum(impath=path, label=first + index, domain=task, classname=names[index]) for path, index in samples]


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
    folder: Path, task: str, readable: dict[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``.

    Args:
        folder: the task's folder.
        task: its name, for messages.
        readable: class name of a folder where it is not the folder's own name with spaces for underscores.

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
    folders = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
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


class FolderCollection(TaskCollection):
    """A collection declared in YAML (configs/collections/<name>.yaml): photographs in a folder a class."""

    declaration: dict = {}

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        base = root / self.declaration["folder"]
        if not base.is_dir():
            raise InputError(f"Folder {base} is missing; --data (DATASET.ROOT) must be the folder that holds it.")
        tasks = []
        for entry in self.declaration["tasks"]:
            name, folder = entry["name"], base / entry["folder"]
            folders, classnames, samples = read_class_folders(folder, name, entry["classnames"])
            task = Task(name, classnames, entry["template"], entry["metric"])
            source = f"{self.declaration['folder']}/{entry['folder']}"
            tasks.append(TaskImages(task, source, folders, *split_in_three(samples, source, folders)))
        return tasks


# What a declaration may say, and what it says if it does not; a task must have a name.
TASK_DEFAULTS = {"name": None, "folder": None, "template": "a photo of a {}.", "metric": "A", "classnames": {}}
COLLECTION_KEYS = ("folder", "config", "tasks")


def read_declaration(path: Path) -> dict:
    """Read a collection's YAML, with every default filled in.

    Returns:
        {"folder": str, "config": str | None, "tasks": [{"name", "folder", "template", "metric": str,
        "classnames": {folder: name}}, ...]}

    Raises:
        InputError: with the place, when something in it cannot be meant.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    tasks = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, list) or not tasks:
        raise InputError(f"{path} declares no tasks; it needs a list `tasks:` of entries with a name and a folder.")
    _only(content, COLLECTION_KEYS, str(path))
    _texts(content, ("folder", "config"), str(path))
    declaration = {"folder": content.get("folder", ""), "config": content.get("config"), "tasks": []}
    for number, given in enumerate(tasks, 1):
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            raise InputError(f"{path}: task {number} has no name.")
        where = f"{path}: task '{given['name']}'"
        _only(given, TASK_DEFAULTS, where)
        _texts(given, ("folder", "template", "metric"), where)
        task = {**TASK_DEFAULTS, "folder": given["name"], **{k: v for k, v in given.items() if v is not None}}
        if "{}" not in task["template"]:
            raise InputError(f"{where}: the template has no {{}} for the class name.")
        if task["metric"] not in METRICS:
            raise InputError(f"{where}: metric '{task['metric']}' is unknown; known: {', '.join(METRICS)}.")
        if not isinstance(task["classnames"], dict):
            raise InputError(f"{where}: classnames must map class folders to names, one `folder: name` a line.")
        # YAML reads a folder called 0 or 2024 as a number.
        task["classnames"] = {str(folder): str(name) for folder, name in task["classnames"].items()}
        declaration["tasks"].append(task)
    return declaration


def _only(entry: dict, known: Iterable[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise InputError(f"{where}: key '{key}' is unknown; known: {', '.join(sorted(known))}.")


def _texts(entry: dict, keys: Iterable[str], where: str) -> None:
    for key in keys:
        if not isinstance(entry.get(key, ""), str):
            raise InputError(f"{where}: {key} must be text, and is {entry[key]!r}; put it in quotes if it is a name.")


def register_collection(path: Path) -> str:
    """Register the collection that a YAML file declares under the file's name, and return that name."""
    attributes = {"declaration": read_declaration(path), "__doc__": f"Declared in {path}."}
    DATASET_REGISTRY.register(type(path.stem, (FolderCollection,), attributes), force=True)
    return path.stem
