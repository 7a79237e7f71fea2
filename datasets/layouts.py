"""Readers of the layouts that releases use: folders, lists, split files. Each returns a `Release` or part of one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.text import one_line
from datasets.collection import list_images, read_class_folders
from datasets.fewshot import Samples

Rows = list[tuple[str, str]]  # (image path, class key)
# Folder names of each split.
PARTS = {"train": ("training", "train"), "val": ("val", "valid", "validation"), "test": ("testing", "test")}
# Kinds of area that land-use data sets name without the word "area".
AREAS = ("residential", "commercial", "industrial")


@dataclass
class Release:
    """A source's classes and images as read from its folder. Draws depend on ``keys``, the classes' names on disk.

    If ``val`` is None, it is drawn from the training images; if ``test`` is None too, all three are drawn from
    ``train``.
    """

    keys: tuple[str, ...]
    classnames: tuple[str, ...]
    train: Samples
    val: Samples | None = None
    test: Samples | None = None


# -- folders --


def find_subfolder(folder: Path, *places: str) -> Path:
    """The first of several places below a folder that exists; if none does, the first one, for error messages."""
    paths = [folder / place for place in places]
    return next((path for path in paths if path.is_dir()), paths[0])


def class_folders(
    folder: Path,
    classname: Callable[[str], str] | dict[str, str] = str,
    ignore: Sequence[str] = (),
) -> tuple[tuple[str, ...], tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``: keys (folder names), class names, samples.

    ``classname`` turns a folder's name into a class name, or maps only the folders that need another name.
    """
    keys, classnames, samples = read_class_folders(folder, folder.name, {}, ignore)
    if isinstance(classname, dict):
        classnames = tuple(classname.get(key, readable) for key, readable in zip(keys, classnames, strict=True))
    elif classname is not str:
        classnames = tuple(classname(key) for key in keys)
    return keys, classnames, samples


def one_pool(
    folder: Path, classname: Callable[[str], str] | dict[str, str] = str, ignore: Sequence[str] = ()
) -> Release:
    """A release without a split: class folders whose images are split 50/20/30."""
    return Release(*class_folders(folder, classname, ignore))


def part_folders(folder: Path) -> dict[str, Path]:
    """The existing folders of a split, by "train", "val" and "test"."""
    return {part: folder / name for part, names in PARTS.items() for name in names if (folder / name).is_dir()}


def official_split(
    folder: Path,
    classname: Callable[[str], str] | dict[str, str] = str,
    required: Sequence[str] = ("train", "val", "test"),
) -> Release:
    """Read ``<folder>/<train, val or test>/<class>/<image>``, with the same classes in each part.

    Raises:
        InputError: a required part is missing, or the classes differ.
    """
    found = part_folders(folder)
    for part in required:
        if part not in found:
            raise InputError(f"{folder} has no folder '{PARTS[part][-1]}'; is the data set unpacked completely?")
    keys, classnames, train = class_folders(found["train"], classname)
    rest = {}
    for part in found.keys() - {"train"}:
        here, _, samples = class_folders(found[part])
        differing = sorted(set(keys) ^ set(here))
        if differing:
            raise InputError(
                f"Class folder '{differing[0]}' is in only one of {found['train']} and {found[part]}; is the data set "
                "complete?"
            )
        rest[part] = samples
    return Release(keys, classnames, train, **rest)


def grouped_class_folders(folder: Path, classname: Callable[[str], str] = str) -> Release:
    """Read ``<folder>/<group>/<class>/<image>`` as one pool, with classes sorted by their own names.

    Class folders outside any group are read too, because some copies of the data have lost the groups.

    Raises:
        InputError: two groups have a class of the same name, or a folder is missing or empty.
    """
    places: dict[str, Path] = {}
    for group in _folders(folder):
        for place in _folders(group) or [group]:
            if place.name in places:
                raise InputError(
                    f"Class folder {place} has the same name as {places[place.name]}; classes must differ."
                )
            places[place.name] = place
    if not places:
        raise InputError(f"Folder {folder} has no class folders; is the data set unpacked completely?")
    keys = tuple(sorted(places))
    samples: Samples = []
    for index, key in enumerate(keys):
        images = list_images(places[key])
        if not images:
            raise InputError(f"Class folder {places[key]} holds no images.")
        samples += [(path, index) for path in images]
    return Release(keys, tuple(map(classname, keys)), samples)


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(e.path) for e in entries if e.is_dir() and e.name[0] != ".")


# -- lists --


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a release's text file, stripped; InputError if it cannot be read."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); is the data set unpacked completely?") from None


def read_list(path: Path, parse: Callable[[str], tuple[str, str]], classes: Container[str] | None = None) -> Rows:
    """Read a list of images, one per line.

    Args:
        path: the list.
        parse: returns (image path, class key) for a line, or raises ValueError.
        classes: the known class keys; None accepts any.

    Raises:
        InputError: the list is missing, or a line cannot be parsed, or names an unknown class or a missing image.
    """
    rows: Rows = []
    for line in read_lines(path):
        try:
            row = parse(line)
        except ValueError:
            raise InputError(
                f"{path}: line '{line}' does not have the format of the original list; unpack the release again."
            ) from None
        if classes is not None and row[1] not in classes:
            raise InputError(f"{path}: line '{line}' names '{row[1]}', which is not in the release's list of classes.")
        rows.append(row)
    check_files((file for file, _ in rows), str(path))
    return rows


def read_mat(path: Path, variable: str) -> np.ndarray:
    """Read a vector (of numbers, texts or records) from a MATLAB file; InputError if that fails."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise InputError(
            f"Reading {path} needs scipy: `pip install scipy`, or fetch the published split file."
        ) from None
    try:
        return np.atleast_1d(loadmat(str(path), squeeze_me=True)[variable])
    except KeyError:
        raise InputError(f"{path} has no variable '{variable}'; is it the file of the original release?") from None
    except Exception as error:  # scipy raises many kinds of errors, some without a common base class
        raise InputError(f"{path} cannot be read ({one_line(error)}); is the data set unpacked completely?") from None


def from_lists(classes: Sequence[str], classname: Callable[[str], str], **parts: Sequence[tuple[str, str]]) -> Release:
    """Build a release from lists of (image path, class key), one per split; ``classes`` are the keys in label order."""
    index = {key: i for i, key in enumerate(classes)}
    samples = {part: [(file, index[key]) for file, key in rows] for part, rows in parts.items()}
    return Release(tuple(classes), tuple(map(classname, classes)), **samples)


# -- split files --


def read_split(path: Path, images: Path) -> Release:
    """Read a published split: CoOp's split_zhou_*.json or the released SoftCPT code's split_dk_*.json (one task).

    CoOp's lists [path, label, class name]. SoftCPT's lists [path, [label], [task]] and has a separate list of class
    names.

    Raises:
        InputError: the file has another format, or names an image that does not exist.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {part: content[part] for part in ("train", "val", "test")}
        if "meta" in content:
            names = dict(enumerate(content["meta"]["taskid2cname"][0]))
            parts = {part: [(file, labels[0]) for file, labels, _ in rows] for part, rows in parts.items()}
        else:
            names = {label: name for rows in parts.values() for _, label, name in rows}
            parts = {part: [(file, label) for file, label, _ in rows] for part, rows in parts.items()}
        order = sorted(names)
        index = {label: i for i, label in enumerate(order)}
        samples = {p: [(str(images / file), index[label]) for file, label in rows] for p, rows in parts.items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} is not a split file in CoOp's or SoftCPT's format ({type(error).__name__}: {error}); fetch it "
            "again, or remove it to have the images split here."
        ) from None
    check_files((file for rows in samples.values() for file, _ in rows), f"the split {path}")
    classnames = tuple(str(names[label]).replace("_", " ") for label in order)
    return Release(tuple(str(names[label]) for label in order), classnames, **samples)


def check_files(files: Iterable[str], named_by: str) -> None:
    """Raise InputError for the first missing file. Each folder is listed once, so 100,000 files take a second."""
    folders: dict[str, set[str]] = {}
    for file in files:
        folder, name = os.path.split(file)
        if folder not in folders:
            try:
                folders[folder] = set(os.listdir(folder))
            except OSError:
                folders[folder] = set()
        if name not in folders[folder]:
            raise InputError(f"Image {file} is missing, but {named_by} names it; is the data set unpacked completely?")


# -- names --


def scene_phrase(folder: str) -> str:
    """The name of a remote sensing class in a prompt.

    >>> [scene_phrase(name) for name in ("BaseballField", "dense_residential", "Parking", "railwayStation")]
    ['baseball field', 'dense residential area', 'parking lot', 'railway station']
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).replace("_", " ").lower()
    if name.endswith(AREAS):
        return f"{name} area"
    return "parking lot" if name == "parking" else name
