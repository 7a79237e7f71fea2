"""Your own task collections, declared in YAML (configs/collections/<name>.yaml). See docs/collections.md."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import yaml
from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.collection import TaskCollection, TaskImages, read_class_folders
from datasets.layouts import Release, official_split, part_folders, read_split
from datasets.source import complete
from prompting.tasks import METRICS, Task


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
            if entry["split"]:
                release = renamed(read_split(base / entry["split"], folder), entry["classnames"], name)
            else:
                release = read_folder(folder, name, entry["classnames"])
            task = Task(name, release.classnames, entry["template"], entry["metric"])
            tasks.append(complete(task, f"{self.declaration['folder']}/{entry['folder']}".strip("/"), release))
        return tasks


def renamed(release: Release, readable: dict[str, str], task: str) -> Release:
    """A release with better names for some of its classes."""
    stray = sorted(set(readable) - set(release.keys))
    if stray:
        raise InputError(f"Task '{task}' names the class '{stray[0]}', which it does not have.")
    pairs = zip(release.keys, release.classnames, strict=True)
    names = tuple(readable.get(key, name) for key, name in pairs)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"Class name '{twice}' is used twice in task '{task}'; give the classes different names.")
    return replace(release, classnames=names)


def read_folder(folder: Path, task: str, readable: dict[str, str]) -> Release:
    """Read ``<folder>/<class>/<image>`` or, split, ``<folder>/<train|val|test>/<class>/<image>``."""
    parts = part_folders(folder)
    if "train" not in parts or "test" not in parts:
        return Release(*read_class_folders(folder, task, readable))
    folders = {entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."}
    others = sorted(folders - {part.name for part in parts.values()})
    if others:
        raise InputError(
            f"Folder {folder} of task '{task}' has {parts['train'].name} and {parts['test'].name}, so it is split, "
            f"but also '{others[0]}'; move class folders into the split's, or the other way round."
        )
    return renamed(official_split(folder, required=("train", "test")), readable, task)


# What a declaration may say, and what it says if it does not; a task must have a name.
TASK_DEFAULTS = {
    "name": None,
    "folder": None,
    "template": "a photo of a {}.",
    "metric": "A",
    "classnames": {},
    "split": "",
}
COLLECTION_KEYS = ("folder", "config", "tasks")


def read_declaration(path: Path) -> dict:
    """Read a collection's YAML, with every default filled in.

    Returns:
        {"folder": str, "config": str | None, "tasks": [{"name", "folder", "template", "metric", "split": str,
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
        _texts(given, ("folder", "template", "metric", "split"), where)
        task = {**TASK_DEFAULTS, "folder": given["name"], **{k: v for k, v in given.items() if v is not None}}
        if "{}" not in task["template"]:
            raise InputError(f"{where}: the template has no {{}} for the class name.")
        if task["metric"] not in METRICS:
            raise InputError(f"{where}: metric '{task['metric']}' is unknown; known: {', '.join(METRICS)}.")
        if not isinstance(task["classnames"], dict):
            raise InputError(f"{where}: classnames must map class folders to names, one `folder: name` a line.")
        # YAML reads a folder called 0 or 2024 as a number.
        task["classnames"] = {str(folder): str(name) for folder, name in task["classnames"].items()}
        if any(task["name"] == other["name"] for other in declaration["tasks"]):
            raise InputError(f"{where}: another task has this name; prompts and tables tell tasks apart by names.")
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
