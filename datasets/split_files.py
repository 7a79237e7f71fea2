"""Reads split files: JSON that lists a data set's images for training, validation and testing, with their classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import read_json
from datasets.layouts import Release, locate_files

SPLITS = ("train", "val", "test")


def read_split(path: Path, images: Path, folder: Path | None = None) -> Release:
    """Read a published split: CoOp's split_zhou_*.json or the released SoftCPT code's split_dk_*.json (one task).

    CoOp's lists [path, label, class name]. SoftCPT's lists [path, [label], [task]] and has a separate list of class
    names, and the task's name and metric.

    Args:
        path: the split file.
        images: the folder that its paths are relative to.
        folder: the data set's folder, which is searched if the images are not there; None searches ``images``.

    Raises:
        InputError: the file has another format, or names an image that does not exist.
    """
    task_name = metric = ""
    try:
        content = read_json(path)
        parts = {part: content[part] for part in SPLITS}
        if "meta" in content:
            meta = content["meta"]
            if len(meta["taskid2cname"]) != 1:
                raise ValueError(f"it has {len(meta['taskid2cname'])} tasks instead of one")
            names = [_name(name) for name in meta["taskid2cname"][0]]
            rows = {part: [(_file(file), _label(label)) for file, (label,), _ in parts[part]] for part in parts}
            task_name, metric = (str((meta.get(key) or [""])[0]) for key in ("taskid2tname", "taskid2metric"))
        else:
            named = {part: [(_file(file), _label(label), _name(name)) for file, label, name in parts[part]]
                     for part in parts}  # fmt: skip
            rows = {part: [(file, label) for file, label, _ in named[part]] for part in parts}
            names = _names_of(row[1:] for part in named.values() for row in part)
        stray = next((label for part in rows.values() for _, label in part if label >= len(names)), None)
        if stray is not None:
            raise ValueError(f"it has the label {stray}, but {len(names)} class names")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path} is not a split file in CoOp's or SoftCPT's format ({type(error).__name__}: {error}); fetch it "
            "again, or remove it to have the images split here."
        ) from None
    check_parts(rows, path)
    found = locate_files(
        (file for part in rows.values() for file, _ in part), images, folder or images, f"the split {path}"
    )
    samples = {part: [(found[file], label) for file, label in rows[part]] for part in rows}
    classnames = tuple(name.replace("_", " ") for name in names)
    return Release(tuple(names), classnames, samples["train"], samples["val"], samples["test"], task_name, metric)


def _file(file: Any) -> str:
    if not isinstance(file, str) or not file:
        raise ValueError(f"the path of an image is {file!r}")
    return file.replace("\\", "/")


def _label(label: Any) -> int:
    if type(label) is not int or label < 0:
        raise ValueError(f"a label is {label!r}; labels are 0, 1, 2 and so on")
    return label


def _name(name: Any) -> str:
    if type(name) not in (str, int):
        raise ValueError(f"the name of a class is {name!r}")
    return str(name)


def _names_of(pairs: Iterable[tuple[int, str]]) -> list[str]:
    """The names of labels 0, 1, 2 and so on; ValueError if a label is not used, or has two names."""
    names: dict[int, str] = {}
    for label, name in pairs:
        if names.setdefault(label, name) != name:
            raise ValueError(f"the label {label} is both {names[label]!r} and {name!r}")
    missing = next((label for label in range(len(names)) if label not in names), None)
    if missing is not None:
        raise ValueError(f"it has labels up to {max(names)}, but no image with the label {missing}")
    return [names[label] for label in range(len(names))]


def check_parts(rows: Mapping[str, Sequence[tuple[str, int]]], path: Path) -> None:
    """InputError if a list has an image in two classes, or twice in a part."""
    labels: dict[str, int] = {}
    for part, samples in rows.items():
        here: set[str] = set()
        for file, label in samples:
            if file in here:
                raise InputError(f"{path} lists {file} twice in '{part}'; keep one of the two.")
            if labels.setdefault(file, label) != label:
                raise InputError(
                    f"{path} lists {file} with the labels {labels[file]} and {label}; keep one of the two."
                )
            here.add(file)
