"""Layouts of original releases that are more than one folder of class folders, and readable names of scenes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.source import Release, Samples, class_folders, list_images
from prompting.errors import InputError

# What the folders of a split are called.
PARTS = {"train": ("training", "train"), "val": ("val", "valid", "validation"), "test": ("testing", "test")}
# Words that land-use data sets use for an area without saying "area".
AREAS = ("residential", "commercial", "industrial")


def below(folder: Path, *names: str) -> Path:
    """The first of a folder's subfolders ``names`` that is there, else the folder itself.

    People unpack archives with and without the folder that is expected around the classes.
    """
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


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


def scene(folder: str) -> str:
    """What a remote sensing class is called in a prompt.

    >>> [scene(name) for name in ("BaseballField", "dense_residential", "Parking", "railwayStation")]
    ['baseball field', 'dense residential area', 'parking lot', 'railway station']
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).replace("_", " ").lower()
    if words.endswith(AREAS):
        return f"{words} area"
    return "parking lot" if words == "parking" else words
