"""Reads folders of images: which files are images, which are not read, and one folder per class."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from common.errors import InputError
from common.notices import notice
from common.text import counted
from datasets.fewshot import Samples

# Formats that Pillow opens and that are not pictures, or need a program beside it.
NOT_PICTURES = {".bufr", ".eps", ".fit", ".fits", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps"}
CLUTTER = {"thumbs.db", "desktop.ini"}  # what file managers leave
SPLIT_FEWSHOT = "split_fewshot"  # CoOp's folder of draws
NO_CLASSES = {"__MACOSX", SPLIT_FEWSHOT}  # folders beside class folders
NOT_READ = 3  # kinds of files in a message


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of all pictures that Pillow reads here; HEIC and HEIF are among them if pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return tuple(sorted(readable - NOT_PICTURES))


def not_read(folder: Path) -> tuple[list[str], list[str]]:
    """Names in a folder of images that are left out: files that are not images, and folders."""
    with os.scandir(folder) as entries:
        others = sorted(
            (e for e in entries if e.name[0] != "." and e.name.lower() not in CLUTTER), key=lambda e: e.name
        )
    files = [e.name for e in others if not e.is_dir() and not e.name.lower().endswith(image_suffixes())]
    return files, [e.name for e in others if e.is_dir()]


def left_out(folders: Sequence[Path]) -> str:
    """What is left out of some class folders, in a few words; empty if nothing is."""
    files: list[str] = []
    inner: list[str] = []
    for folder in folders:
        found = not_read(folder)
        files += found[0]
        inner += found[1]
    kinds = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in files)
    listed = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(NOT_READ))
    more = " .." if len(kinds) > NOT_READ else ""
    heic = "; HEIC needs pillow-heif (pip install pillow-heif)" if {".heic", ".heif"} & kinds.keys() else ""
    parts = [f"{counted(len(files), 'file')} ({listed}{more})"] if files else []
    parts += [counted(len(inner), "folder inside them", "folders inside them")] if inner else []
    return f"{' and '.join(parts)} in the class folders are not read{heic}" if parts else ""


def list_images(folder: Path) -> list[str]:
    """Paths of the image files directly in a folder, without hidden ones, in alphabetical order."""
    with os.scandir(folder) as entries:
        return sorted(e.path for e in entries if e.name[0] != "." and e.name.lower().endswith(image_suffixes()))


def read_class_folders(
    folder: Path, task: str, readable: dict[str, str], ignore: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...], Samples]:
    """Read ``<folder>/<class>/<image>``.

    Args:
        folder: the task's folder.
        task: its name, for messages.
        readable: class names by folder, where underscores turned into spaces are not enough.
        ignore: folders that are not classes.

    Returns:
        class folders in alphabetical order, their class names, and (path, class index) samples.

    Raises:
        InputError: the folder is missing or empty, a class has no images, two classes have the same name, or
            ``readable`` names a folder that does not exist.
    """
    if not folder.is_dir():
        raise InputError(
            f"Folder {folder} of task '{task}' is missing; is --data (DATASET.ROOT) the folder that holds it?"
        )
    entries = (entry for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    folders = sorted(entry.name for entry in entries if entry.name not in {*ignore, *NO_CLASSES})
    if not folders:
        raise InputError(
            f"Folder {folder} of task '{task}' has no class folders; it should hold one folder of images per class."
        )
    stray = sorted(set(readable) - set(folders))
    if stray:
        raise InputError(f"Task '{task}' names the class folder '{stray[0]}', which is not in {folder}.")
    names = tuple(readable.get(name, name.replace("_", " ")) for name in folders)
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise InputError(
            f"Class name '{duplicates[0]}' is used twice in task '{task}'; give the folders different names."
        )
    samples: Samples = []
    for index, name in enumerate(folders):
        images = list_images(folder / name)
        if not images:
            skipped = left_out([folder / name])
            raise InputError(
                f"Class folder {folder / name} of task '{task}' holds no images that can be read"
                f"{f': {skipped}' if skipped else ''}."
            )
        samples += [(path, index) for path in images]
    skipped = left_out([folder / name for name in folders])
    if skipped:
        notice(f"{folder}: {skipped}.")
    return tuple(folders), names, samples
