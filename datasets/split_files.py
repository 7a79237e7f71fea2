"""Reads split files: JSON that lists a data set's images for training, validation and testing, with their classes."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import read_json
from common.notices import notice
from common.text import counted
from datasets.fewshot import Samples
from datasets.layouts import Release, locate_files

SPLITS = ("train", "val", "test")


def read_split(path: Path, images: Path, folder: Path | None = None) -> Release:
    """Read a published split: CoOp's split_zhou_*.json or the released SoftCPT code's split_dk_*.json (one task).

    CoOp's lists [path, label, class name]; classes are in the order of labels, which may begin at 1 or have gaps.
    SoftCPT's lists [path, [label], [task]] and has a separate list of class names, and the task's name and metric.

    Args:
        path: the split file.
        images: the folder that its paths are relative to.
        folder: the data set's folder, which is searched if the images are not there; None searches ``images``.

    Raises:
        InputError: the file has another format, contradicts itself, or names an image that does not exist.
    """
    task_name = metric = ""
    try:
        content = read_json(path)
        parts = {part: content[part] for part in SPLITS}
        if "meta" in content:
            meta = content["meta"]
            if len(meta["taskid2cname"]) != 1:
                raise ValueError(f"it has {len(meta['taskid2cname'])} tasks instead of one")
            names = {label: _name(name) for label, name in enumerate(meta["taskid2cname"][0])}
            rows = {part: [(_file(file), _label(label)) for file, (label,), _ in parts[part]] for part in parts}
            task_name, metric = (str((meta.get(key) or [""])[0]) for key in ("taskid2tname", "taskid2metric"))
        else:
            named = {part: [(_file(file), _label(label), _name(name)) for file, label, name in parts[part]]
                     for part in parts}  # fmt: skip
            rows = {part: [(file, label) for file, label, _ in named[part]] for part in parts}
            names = _names_of(row[1:] for part in named.values() for row in part)
        stray = next((label for part in rows.values() for _, label in part if label not in names), None)
        if stray is not None:
            raise ValueError(f"it has the label {stray}, but {len(names)} class names")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path} is not a split file in CoOp's or SoftCPT's format ({type(error).__name__}: {error}); fetch it "
            "again, or remove it to have the images split here."
        ) from None
    rows = without_repeats(rows, path)
    found = locate_files(
        (file for part in rows.values() for file, _ in part), images, folder or images, f"the split {path}"
    )
    index = {label: position for position, label in enumerate(names)}
    samples = {part: [(found[file], index[label]) for file, label in rows[part]] for part in rows}
    keys = tuple(names.values())
    classnames = tuple(name.replace("_", " ") for name in keys)
    return Release(keys, classnames, samples["train"], samples["val"], samples["test"], task_name, metric)


def _file(file: Any) -> str:
    if not isinstance(file, str) or not file:
        raise ValueError(f"the path of an image is {file!r}")
    return file.replace("\\", "/")


def _label(label: Any) -> int:
    if type(label) is not int or label < 0:
        raise ValueError(f"a label is {label!r}; labels are whole numbers from 0")
    return label


def _name(name: Any) -> str:
    if type(name) not in (str, int):
        raise ValueError(f"the name of a class is {name!r}")
    return str(name)


def _names_of(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    """The name of each label, in the order of labels; ValueError if a label has two names."""
    names: dict[int, str] = {}
    for label, name in pairs:
        if names.setdefault(label, name) != name:
            raise ValueError(f"the label {label} is both {names[label]!r} and {name!r}")
    return dict(sorted(names.items()))


def without_repeats(rows: Mapping[str, Sequence[tuple[str, int]]], path: Path) -> dict[str, Samples]:
    """The (file, label) rows of each part, without those that list a file again; a line says how many these are.

    Raises:
        InputError: a file has two labels.
    """
    labels: dict[str, int] = {}
    kept: dict[str, Samples] = {}
    for part, samples in rows.items():
        here: dict[str, tuple[str, int]] = {}
        for file, label in samples:
            plain = posixpath.normpath(file)
            if labels.setdefault(plain, label) != label:
                raise InputError(
                    f"{path} lists {file} with the labels {labels[plain]} and {label}; keep one of the two."
                )
            here.setdefault(plain, (file, label))
        kept[part] = list(here.values())
    repeats = sum(map(len, rows.values())) - sum(map(len, kept.values()))
    if repeats:
        notice(f"{path}: {counted(repeats, 'line lists', 'lines list')} an image of the same part again; ignored.")
    return kept
