"""A collection of tasks as a Dassl data set.

In Dassl's terms a sample's ``label`` is its class on the flat axis of all tasks and its ``domain`` is its task, so
batches of Dassl's own loaders carry everything that multi-task methods need. What the tasks are is in
``dataset.layout``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum

from datasets.fewshot import few_shot, split_in_three
from prompting.errors import InputError
from prompting.tasks import METRICS, Task, TaskLayout

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
VALIDATION_SHOTS = 4  # the literature uses min(shots, 4) validation images a class
Samples = list[tuple[str, int]]  # (path, class index within the task)


@dataclass
class TaskImages:
    """One task and its images. ``source`` names where they come from: few-shot draws depend on it."""

    task: Task
    source: str
    train: Samples = field(default_factory=list)
    val: Samples = field(default_factory=list)
    test: Samples = field(default_factory=list)


class TaskCollection(DatasetBase):
    """Base of all our data sets: a subclass says in `read_tasks` which tasks there are and where their images lie."""

    def __init__(self, cfg):
        root = Path(cfg.DATASET.ROOT or "data").expanduser()
        tasks = self.read_tasks(cfg, root)
        self.layout = TaskLayout(tuple(images.task for images in tasks))
        shots, seed = cfg.DATASET.NUM_SHOTS, max(cfg.SEED, 0)
        allow_fewer = getattr(cfg.DATASET, "ALLOW_FEWER_SHOTS", False)
        train, val, test = [], [], []
        for index, images in enumerate(tasks):
            names = images.task.classnames
            chosen = few_shot(images.train, shots, seed, images.source, names, allow_fewer)
            train += self._data(index, chosen)
            val += self._data(
                index, few_shot(images.val, min(shots, VALIDATION_SHOTS), seed, images.source, names, True)
            )
            test += self._data(index, images.test)
        super().__init__(train_x=train, val=val, test=test)

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        """The tasks of the collection with all their images, in a fixed order; raises InputError when they are not
        there."""
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


def read_class_folders(folder: Path, task: str, readable: dict[str, str]) -> tuple[tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``.

    Args:
        folder: the task's folder.
        task: its name, for messages.
        readable: class name of a folder where it is not the folder's own name with spaces for underscores.

    Returns:
        class names and (path, class index) samples; classes in alphabetical order of their folders.

    Raises:
        InputError: the folder is missing or empty, a class has no images, two classes have one name, a name is for no
        folder.
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
    return names, samples


class FolderCollection(TaskCollection):
    """A collection declared in YAML (configs/collections/<name>.yaml): class-per-folder photographs, split by our
    rule."""

    declaration: dict = {}
    declared_in: Path = Path()

    def read_tasks(self, cfg, root: Path) -> list[TaskImages]:
        base = root / self.declaration.get("folder", "")
        if not base.is_dir():
            raise InputError(f"Folder {base} is missing; --data (DATASET.ROOT) must be the folder that holds it.")
        tasks = []
        for entry in self.declaration["tasks"]:
            name, folder = entry["name"], entry.get("folder", entry["name"])
            classnames, samples = read_class_folders(base / folder, name, entry.get("classnames") or {})
            task = Task(name, classnames, entry.get("template", "a photo of a {}."), entry.get("metric", "A"))
            source = f"{self.declaration.get('folder', self.declared_in.stem)}/{folder}"
            tasks.append(TaskImages(task, source, *split_in_three(samples, name, classnames)))
        return tasks


TASK_KEYS = {"name", "folder", "template", "metric", "classnames"}
COLLECTION_KEYS = {"tasks", "folder", "config"}


def read_declaration(path: Path) -> dict:
    """Read and check a collection's YAML; InputError with the place when something in it cannot be meant."""
    try:
        declaration = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    tasks = declaration.get("tasks") if isinstance(declaration, dict) else None
    if not isinstance(tasks, list) or not tasks:
        raise InputError(f"{path} declares no tasks; it needs a list `tasks:` of entries with a name and a folder.")
    for key in set(declaration) - COLLECTION_KEYS:
        raise InputError(f"{path}: key '{key}' is unknown; known: {', '.join(sorted(COLLECTION_KEYS))}.")
    for number, entry in enumerate(tasks, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise InputError(f"{path}: task {number} has no name.")
        for key in set(entry) - TASK_KEYS:
            raise InputError(
                f"{path}: task '{entry['name']}' has the unknown key '{key}'; known: {', '.join(sorted(TASK_KEYS))}."
            )
        if "{}" not in entry.get("template", "{}"):
            raise InputError(f"{path}: the template of task '{entry['name']}' has no {{}} for the class name.")
        if entry.get("metric", "A") not in METRICS:
            raise InputError(f"{path}: metric '{entry['metric']}' of task '{entry['name']}' is unknown; known: A, C.")
    return declaration


def register_collection(path: Path) -> str:
    """Register the collection that a YAML file declares under the file's name, and return that name."""
    name = path.stem
    declaration = read_declaration(path)
    dataset = type(
        name, (FolderCollection,), {"declaration": declaration, "declared_in": path, "__doc__": f"Declared in {path}."}
    )
    DATASET_REGISTRY.register(dataset, force=True)
    return name
