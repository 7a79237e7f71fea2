"""Readers of the layouts that releases use: folders, lists, split files. Each returns a `Release` or part of one."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import read_bytes, read_text
from common.notices import notice
from common.text import counted, one_line
from datasets.fewshot import Samples
from datasets.folders import list_images, read_class_folders
from datasets.places import (
    PARTS,
    class_count,
    contents,
    find_classes,
    match_files,
    part_folders,
    subfolders,
    unusable_files,
)
from prompting.tasks import check_classnames

Rows = list[tuple[str, str]]  # (image path, class key)
ClassFolders = tuple[tuple[str, ...], tuple[str, ...], Samples]  # keys (folder names), class names, samples
# Kinds of area that land-use data sets name without the word "area".
AREAS = ("residential", "commercial", "industrial")
RELEASED_METRICS = {"overall_acc": "A", "mean_acc": "C"}  # as the released SoftCPT code spells them


@dataclass
class Release:
    """A source's classes and images as read from its folder. Draws depend on ``keys``, the classes' names on disk.

    If ``val`` is None, it is drawn from the training images; if ``test`` is None too, all three are drawn from
    ``train``. ``task_name`` and ``metric`` are those that a split file states; empty if it states none.
    """

    keys: tuple[str, ...]
    classnames: tuple[str, ...]
    train: Samples
    val: Samples | None = None
    test: Samples | None = None
    task_name: str = ""
    metric: str = ""


# -- folders --


def class_folders(
    folder: Path,
    classname: Callable[[str], str] | dict[str, str] = str,
    ignore: Sequence[str] = (),
    key: Callable[[str], str] = str,
) -> ClassFolders:
    """Read ``<folder>/<class>/<image>``.

    Args:
        folder: the parent of the class folders.
        classname: turns a class's key into its name, or maps only the keys that need another name.
        ignore: folders that are not classes.
        key: turns a folder's name into the class's key; classes are in alphabetical order of keys.

    Raises:
        InputError: the folder has no class folders, a class has no images, or two classes have the same name.
    """
    folders, readable, samples = read_class_folders(folder, folder.name, {}, ignore)
    keys = [key(name) for name in folders]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if key is not str:
        index = {old: new for new, old in enumerate(order)}
        samples = sorted(((file, index[label]) for file, label in samples), key=lambda sample: sample[1])
        readable = tuple(keys[i].replace("_", " ") for i in order)
        keys = [keys[i] for i in order]
    if isinstance(classname, dict):
        readable = tuple(classname.get(key, name) for key, name in zip(keys, readable, strict=True))
    elif classname is not str:
        readable = tuple(classname(key) for key in keys)
    check_classnames(readable, folder.name, [folders[i] for i in order])
    return tuple(keys), readable, samples


def one_pool(
    folder: Path, classname: Callable[[str], str] | dict[str, str] = str, ignore: Sequence[str] = ()
) -> Release:
    """A release without a split: class folders whose images are split 50/20/30."""
    return Release(*class_folders(folder, classname, ignore))


def official_split(
    folder: Path,
    read: Callable[[Path], ClassFolders] = class_folders,
    required: Sequence[str] = ("train", "val", "test"),
    parts: dict[str, Path] | None = None,
) -> Release:
    """Read ``<folder>/<train, val or test>/<class>/<image>``, with the same classes in each part.

    ``parts`` are the folders of the split, if not all that the folder has.

    Raises:
        InputError: a required part is missing, or the classes differ.
    """
    found = part_folders(folder) if parts is None else parts
    for part in required:
        if part not in found:
            raise InputError(f"{folder} has no folder '{PARTS[part][-1]}'; is the data set unpacked completely?")
    keys, classnames, train = read(found["train"])
    rest = {}
    for part in found.keys() - {"train"}:
        here, _, samples = read(found[part])
        differing = sorted(set(keys) ^ set(here))
        if differing:
            raise InputError(
                f"Class folder '{differing[0]}' is in only one of {found['train']} and {found[part]}; is the data set "
                "complete?"
            )
        rest[part] = samples
    return Release(keys, classnames, train, rest.get("val"), rest.get("test"))


def read_classes(
    folder: Path,
    places: Sequence[str],
    read: Callable[[Path], ClassFolders],
    name: str,
    *,
    count: Callable[[Path], int] = class_count,
    own_split: bool = False,
) -> Release:
    """Read class folders, or train/ and test/ that hold class folders, wherever they are below ``folder``.

    Args:
        folder: the data set's folder.
        places: where the class folders usually are, below it.
        read: reads the class folders in a folder.
        name: the source's name, for messages.
        count: how many class folders are in a folder.
        own_split: True if the release itself has train/, validation/ and test/.

    Raises:
        InputError: there are no class folders; the message says what is there and what to do.
    """
    place = find_classes(folder, places, count)
    if place is None:
        raise InputError(f"{folder} has no class folders with images; {_advice(folder, name)}")
    parts = {part: path for part, path in part_folders(place).items() if count(path)}
    if not parts or class_count(place) > 1:
        return Release(*read(place))
    if own_split:
        return official_split(place, read)
    names = {part: path.name for part, path in parts.items()}
    if "train" in parts and len(parts) == 1:
        notice(f"{name}: only {parts['train']} has class folders, so each of its classes is split 50/20/30.")
        return Release(*read(parts["train"]))
    release = official_split(place, read, ("train",), parts)
    if release.test is None:
        notice(f"{name}: {place} has {names['train']}/ and {names['val']}/ but no test images, so those of "
            f"{names['val']}/ are used for testing.")  # fmt: skip
        return replace(release, val=None, test=release.val)
    notice(f"{name}: {place} is divided into {', '.join(names.values())}; this split is used, not the literature's.")
    return release


def _advice(folder: Path, name: str) -> str:
    """What a folder without images holds, and what to do about it."""
    kind, files = unusable_files(folder)
    script = f"`bash scripts/datasets/prepare.sh {name}`"
    held = f"it holds {contents(folder)}"
    if kind == "archive":
        return f"{held}; unpack {files[0]}."
    if kind == "table":
        return f"{held}; {files[0]} holds no image files, so export them, one folder per class, or run {script}."
    if kind == "video":
        return f"{held} with {counted(len(files), 'video')}, but frames are needed; {script} fetches them."
    return f"{held}; {script} fetches what is missing or explains how."


def grouped_class_folders(folder: Path, classname: Callable[[str], str] = str) -> ClassFolders:
    """Read ``<folder>/<group>/<class>/<image>``, with classes sorted by their own names.

    Class folders outside any group are read too, because some copies of the data have lost the groups.

    Raises:
        InputError: two groups have a class of the same name, or a folder is missing or empty.
    """
    places: dict[str, Path] = {}
    for group in subfolders(folder):
        for place in subfolders(group) or [group]:
            if place.name in places:
                raise InputError(
                    f"Class folder {place} has the same name as {places[place.name]}; classes must differ."
                )
            places[place.name] = place
    if not places:
        raise InputError(f"Folder {folder} has no class folders; is the data set unpacked completely?")
    return named_folders(places, classname)


def named_folders(folders: dict[str, Path], classname: Callable[[str], str]) -> ClassFolders:
    """Read the images of class folders, given by the classes' keys.

    Raises:
        InputError: a folder holds no images.
    """
    keys = tuple(sorted(folders))
    samples: Samples = []
    for index, key in enumerate(keys):
        images = list_images(folders[key])
        if not images:
            raise InputError(f"Class folder {folders[key]} holds no images that can be read.")
        samples += [(path, index) for path in images]
    return keys, tuple(map(classname, keys)), samples


# -- lists --


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a release's text file, stripped; InputError if it cannot be read."""
    try:
        return [line.strip() for line in read_text(path).splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); is the data set unpacked completely?") from None


def read_list(
    path: Path,
    parse: Callable[[str], tuple[str, str]],
    images: Path,
    folder: Path,
    classes: Container[str] | None = None,
) -> Rows:
    """Read a list of images, one per line.

    Args:
        path: the list.
        parse: returns (image path below ``images``, class key) for a line, or raises ValueError.
        images: the folder that the paths are relative to.
        folder: the data set's folder, which is searched if the images are not there.
        classes: the known class keys; None accepts any.

    Returns:
        (image path, class key) in the order of the list.

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
    found = locate_files((file for file, _ in rows), images, folder, str(path))
    return [(found[file], key) for file, key in rows]


def read_mat(path: Path, variable: str) -> np.ndarray:
    """Read a vector (of numbers, texts or records) from a MATLAB file; InputError if that fails."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise InputError(
            f"Reading {path} needs scipy: `pip install scipy`, or fetch the published split file."
        ) from None
    try:
        return np.atleast_1d(loadmat(io.BytesIO(read_bytes(path)), squeeze_me=True)[variable])
    except KeyError:
        raise InputError(f"{path} has no variable '{variable}'; is it the file of the original release?") from None
    except Exception as error:  # scipy raises many kinds of errors, some without a common base class
        raise InputError(f"{path} cannot be read ({one_line(error)}); is the data set unpacked completely?") from None


def from_lists(
    classes: Sequence[str], classname: Callable[[str], str], train: Rows, test: Rows, val: Rows | None = None
) -> Release:
    """Build a release from the lists of its split; ``classes`` are the keys in label order."""
    index = {key: i for i, key in enumerate(classes)}

    def samples(rows: Rows) -> Samples:
        return [(file, index[key]) for file, key in rows]

    names = tuple(map(classname, classes))
    return Release(tuple(classes), names, samples(train), None if val is None else samples(val), samples(test))


# -- files that lists name --


def locate_files(names: Iterable[str], images: Path, folder: Path, named_by: str) -> dict[str, str]:
    """The paths of a list's images: below ``images`` as listed or, if one is not there, wherever they are below
    ``folder`` (see `places.match_files`).

    Raises:
        InputError: images are missing; the message names the first.
    """
    paths = {name: os.path.join(images, name) for name in names}
    missing = find_missing(paths.values())
    if not missing:
        return paths
    if folder.is_dir() and (found := match_files(paths, folder)):
        return found
    kind, files = unusable_files(folder) if folder.is_dir() else ("", [])
    remedy = f"unpack {files[0]}." if kind == "archive" else "is the data set unpacked completely?"
    raise InputError(
        f"Image {missing[0]} is missing, but {named_by} names it ({len(missing):,} of {len(paths):,} are missing); "
        f"{remedy}"
    )


def find_missing(files: Iterable[str]) -> list[str]:
    """The files that do not exist. Each folder is listed once, so 100,000 files take a second."""
    folders: dict[str, set[str]] = {}
    missing = []
    for file in files:
        folder, name = os.path.split(file)
        if folder not in folders:
            try:
                folders[folder] = set(os.listdir(folder))
            except OSError:
                folders[folder] = set()
        if name not in folders[folder]:
            missing.append(file)
    return missing


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
