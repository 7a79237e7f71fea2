"""Your own task collections, declared in YAML (configs/collections/<name>.yaml). See docs/collections.md."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

from common.errors import InputError
from common.notices import notice
from common.text import counted
from datasets.collection import TaskCollection
from datasets.fewshot import TaskImages
from datasets.folders import entries_of, list_images, read_class_folders
from datasets.layouts import Release, official_split
from datasets.places import part_folders, subfolders
from datasets.source import complete
from datasets.split_files import read_split
from datasets.yaml_files import read_yaml
from prompting.image_files import is_folder
from prompting.tasks import METRICS, Task, check_classnames


class FolderCollection(TaskCollection):
    """A collection declared in YAML (configs/collections/<name>.yaml): photographs, one folder per class."""

    declaration: dict[str, Any] = {}

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        base = root / self.declaration["folder"]
        if not os.path.isdir(base):
            raise InputError(f"Folder {base} is missing; --data (DATASET.ROOT) must be the folder that holds it.")
        tasks = []
        for entry in self.declaration["tasks"]:
            name, folder = entry["name"], base / entry["folder"]
            if entry["split"]:
                release = rename_classes(read_split(base / entry["split"], folder), entry["classnames"], name)
            else:
                release = read_folder(folder, name, entry["classnames"])
            task = Task(name, release.classnames, entry["template"], entry["metric"])
            stated = (release.task_name, name), (release.metric, entry["metric"])
            ignored = [theirs for theirs, own in stated if theirs != own]
            if entry["split"] and any(ignored):
                notice(
                    f"Task '{name}': {base / entry['split']} states {' and '.join(filter(None, ignored))}; name and "
                    "metric of the declaration are used."
                )
            images = complete(task, f"{self.declaration['folder']}/{entry['folder']}".strip("/"), release)
            if release.test is None:
                parts = len(images.train), len(images.val), len(images.test)
                notice(
                    f"Task '{name}': {counted(sum(parts), 'image')} split into {parts[0]:,} for training, {parts[1]:,} "
                    f"for validation and {parts[2]:,} for testing (50/20/30 % of each class, more training below 10)."
                )
            tasks.append(images)
        return tasks


def rename_classes(release: Release, readable: dict[str, str], task: str) -> Release:
    """The release with better names for some of its classes."""
    stray = sorted(set(readable) - set(release.keys))
    if stray:
        raise InputError(f"Task '{task}' names the class '{stray[0]}', which it does not have.")
    pairs = zip(release.keys, release.classnames, strict=True)
    names = tuple(readable.get(key, name) for key, name in pairs)
    check_classnames(names, task, release.keys)
    return replace(release, classnames=names)


def read_folder(folder: Path, task: str, readable: dict[str, str]) -> Release:
    """Read ``<folder>/<class>/<image>`` or, if already split, ``<folder>/<train|val|test>/<class>/<image>``.

    A folder with ``test/`` alone is for testing only.
    """
    parts = part_folders(folder)
    if set(parts) == {"test"} and len(subfolders(folder)) == 1 and not list_images(parts["test"]):
        keys, names, test = read_class_folders(parts["test"], task, readable)
        return Release(keys, names, [], [], test)
    if "train" not in parts or "test" not in parts:
        return Release(*read_class_folders(folder, task, readable))
    folders = {entry.name for entry in entries_of(folder) if is_folder(entry)}
    others = sorted(folders - {part.name for part in parts.values()})
    if others:
        raise InputError(
            f"Folder {folder} of task '{task}' is split into {parts['train'].name} and {parts['test'].name}, but also "
            f"holds '{others[0]}'; move all class folders into the split's folders, or all out of them."
        )
    return rename_classes(official_split(folder, required=("train", "test")), readable, task)


# Keys of a task and their defaults; only the name is required.
TASK_DEFAULTS: dict[str, Any] = {
    "name": None,
    "folder": None,
    "template": "a photo of a {}.",
    "metric": "A",
    "classnames": {},
    "split": "",
}
COLLECTION_KEYS = ("folder", "config", "tasks")


def read_declaration(path: Path) -> dict[str, Any]:
    """Read a collection's YAML and fill in all defaults.

    Returns:
        {"folder": str, "config": str | None, "tasks": [{"name", "folder", "template", "metric", "split": str,
        "classnames": {folder: name}}, ...]}

    Raises:
        InputError: a key or value is not valid; the message says which.
    """
    content = read_yaml(path)
    tasks = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, list) or not tasks:
        raise InputError(f"{path} declares no tasks; it needs a list `tasks:` of entries with a name and a folder.")
    _check_keys(content, COLLECTION_KEYS, str(path))
    _check_texts(content, ("folder", "config"), str(path))
    declaration: dict[str, Any] = {
        "folder": content.get("folder", ""),
        "config": content.get("config"),
        "tasks": [],
    }
    for number, entry in enumerate(tasks, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise InputError(f"{path}: task {number} has no name.")
        where = f"{path}: task '{entry['name']}'"
        _check_keys(entry, TASK_DEFAULTS, where)
        _check_texts(entry, ("folder", "template", "metric", "split"), where)
        task = {**TASK_DEFAULTS, "folder": entry["name"], **{k: v for k, v in entry.items() if v is not None}}
        if "{}" not in task["template"]:
            raise InputError(f"{where}: the template has no {{}} for the class name.")
        if task["metric"] not in METRICS:
            raise InputError(f"{where}: metric '{task['metric']}' is unknown; known: {', '.join(METRICS)}.")
        if not isinstance(task["classnames"], dict):
            raise InputError(f"{where}: classnames must map class folders to names, one `folder: name` per line.")
        # YAML reads a folder called 0 or 2024 as a number.
        task["classnames"] = {str(folder): str(name) for folder, name in task["classnames"].items()}
        if any(task["name"] == other["name"] for other in declaration["tasks"]):
            raise InputError(f"{where}: another task has this name; prompts and tables distinguish tasks by name.")
        declaration["tasks"].append(task)
    return declaration


def _check_keys(entry: dict, known: Iterable[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise InputError(f"{where}: key '{key}' is unknown; known: {', '.join(sorted(known))}.")


def _check_texts(entry: dict, keys: Iterable[str], where: str) -> None:
    for key in keys:
        if not isinstance(entry.get(key, ""), str):
            raise InputError(f"{where}: {key} must be text, not {entry[key]!r}; put it in quotes if it is a name.")


def register_collection(path: Path) -> str:
    """Register the collection that a YAML file declares under the file's name, and return that name."""
    attributes = {"declaration": read_declaration(path), "__doc__": f"Declared in {path}."}
    DATASET_REGISTRY.register(type(path.stem, (FolderCollection,), attributes), force=True)
    return path.stem
