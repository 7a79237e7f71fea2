"""How releases lay out their images: folders, lists, split files. Each reader gives a `Release` or a piece of one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError
from datasets.collection import list_images, read_class_folders
from datasets.fewshot import Samples

Rows = list[tuple[str, str]]  # (image path, class key)
# What the folders of a split are called.
PARTS = {"train": ("training", "train"), "val": ("val", "valid", "validation"), "test": ("testing", "test")}
# Words that land-use data sets use for an area without saying "area".
AREAS = ("residential", "commercial", "industrial")


@dataclass
class Release:
    """What is read from a source's folder. Draws depend on ``keys``: what a class is called where it lies.

    ``val`` None: drawn from the training images; ``test`` None as well: all three are drawn from ``train``.
    """

    keys: tuple[str, ...]
    classnames: tuple[str, ...]
    train: Samples
    val: Samples | None = None
    test: Samples | None = None


# -- folders --


def inside(folder: Path, *places: str) -> Path:
    """The first of several places below a folder that is there; when none is, the first, for messages to name."""
    paths = [folder / place for place in places]
    return next((path for path in paths if path.is_dir()), paths[0])


def class_folders(
    folder: Path,
    classname: Callable[[str], str] | dict[str, str] = str,
    ignore: Sequence[str] = (),
) -> tuple[tuple[str, ...], tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``: keys (folder names), class names, samples.

    ``classname`` gives the class name of a folder, or names those folders whose own name will not do.
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
    """The folders of a split that are there, by "train", "val" and "test"."""
    return {part: folder / name for part, names in PARTS.items() for name in names if (folder / name).is_dir()}


def official_split(
    folder: Path,
    classname: Callable[[str], str] | dict[str, str] = str,
    required: Sequence[str] = ("train", "val", "test"),
) -> Release:
    """Read ``<folder>/<train, val or test>/<class>/<image>``, the latter two with the same classes as the first.

    Raises:
        InputError: a required part is missing, or its classes differ.
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
    """Read ``<folder>/<group>/<class>/<image>`` as one pool, classes in the order of their own names.

    A class folder outside any group is read as well, since copies go about that have lost the groups.

    Raises:
        InputError: two groups have a class of one name, or a folder is missing or empty.
    """
    places: dict[str, Path] = {}
    for group in _folders(folder):
        for place in _folders(group) or [group]:
            if place.name in places:
                raise InputError(f"Class folder {place} has the name of {places[place.name]}; classes must differ.")
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


def lines(path: Path) -> list[str]:
    """The non-empty lines of a text file that belongs to a release; InputError when it is missing."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); is the data set unpacked completely?") from None


def read_list(path: Path, parse: Callable[[str], tuple[str, str]], classes: Container[str] | None = None) -> Rows:
    """Read a list of images, one a line.

    Args:
        path: the list.
        parse: gives (image path, class key) for a line, ValueError for one that it cannot read.
        classes: the keys that there are; None: any.

    Raises:
        InputError: the list is missing, a line cannot be read, names another class or an image that is not there.
    """
    rows: Rows = []
    for line in lines(path):
        try:
            row = parse(line)
        except ValueError:
            raise InputError(
                f"{path}: line '{line}' has not the form of the original list; unpack the release again."
            ) from None
        if classes is not None and row[1] not in classes:
            raise InputError(f"{path}: line '{line}' names '{row[1]}', which the release's list of classes lacks.")
        rows.append(row)
    check_files((file for file, _ in rows), str(path))
    return rows


def read_mat(path: Path, variable: str) -> np.ndarray:
    """A vector (numbers, texts or records) from a MATLAB file; InputError when it cannot be read."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise InputError(
            f"Reading {path} needs scipy: `pip install scipy`, or put the published split file beside it."
        ) from None
    try:
        return np.atleast_1d(loadmat(str(path), squeeze_me=True)[variable])
    except KeyError:
        raise InputError(f"{path} has no variable '{variable}'; is it the file of the original release?") from None
    except Exception as error:  # scipy raises errors of many kinds, some without a common base
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())}); is the data set unpacked completely?"
        ) from None


def from_lists(classes: Sequence[str], classname: Callable[[str], str], **parts: Sequence[tuple[str, str]]) -> Release:
    """A release whose splits are lists of (image path, class key); ``classes`` are the keys in label order."""
    index = {key: i for i, key in enumerate(classes)}
    samples = {part: [(file, index[key]) for file, key in rows] for part, rows in parts.items()}
    return Release(tuple(classes), tuple(map(classname, classes)), **samples)


# -- split files --


def read_split(path: Path, images: Path) -> Release:
    """Read a published split: CoOp's split_zhou_*.json or the released SoftCPT code's split_dk_*.json (one task).

    The former lists [path, label, class name], the latter [path, [label], [task]] and names classes apart.

    Raises:
        InputError: it is no such file, or names an image that is not there.
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
            f"{path} is not a split file in CoOp's or SoftCPT's form ({type(error).__name__}: {error}); fetch it again "
            "or remove it, and images are split anew."
        ) from None
    check_files((file for rows in samples.values() for file, _ in rows), f"the split {path}")
    classnames = tuple(str(names[label]).replace("_", " ") for label in order)
    return Release(tuple(str(names[label]) for label in order), classnames, **samples)


def check_files(files, named_by: str) -> None:
    """InputError for the first file that is missing. Every folder is listed once: 100,000 files take a second."""
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


def scene(folder: str) -> str:
    """What a remote sensing class is called in a prompt.

    >>> [scene(name) for name in ("BaseballField", "dense_residential", "Parking", "railwayStation")]
    ['baseball field', 'dense residential area', 'parking lot', 'railway station']
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).replace("_", " ").lower()
    if words.endswith(AREAS):
        return f"{words} area"
    return "parking lot" if words == "parking" else words
