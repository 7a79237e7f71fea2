"""Reads folders of images: which files are images, which are not read, and one folder per class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError
from common.notices import notice
from common.text import counted
from datasets.fewshot import Samples
from prompting.image_files import CLUTTER, is_folder, is_image, may_be_file
from prompting.tasks import check_classnames

SPLIT_FEWSHOT = "split_fewshot"  # CoOp's folder of draws
NO_CLASSES = {"__MACOSX", SPLIT_FEWSHOT}  # folders beside class folders
NOT_READ = 3  # kinds of files in a message
NOT_A_FILE = "not a file"  # named pipes, sockets and devices


def entries_of(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder, in alphabetical order, without hidden entries; InputError if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"Folder {folder} cannot be listed ({error.strerror}); check that it can be read.") from None


def not_read(folder: Path) -> tuple[list[str], list[str]]:
    """Names in a folder of images that are left out: files that are not images, with NOT_A_FILE for what is not a
    file at all, and folders."""
    files, folders = [], []
    for entry in entries_of(folder):
        if is_image(entry) or entry.name.lower() in CLUTTER:
            continue
        if is_folder(entry):
            folders.append(entry.name)
        else:
            files.append(entry.name if may_be_file(entry) else NOT_A_FILE)
    return files, folders


def left_out(folders: Sequence[Path]) -> str:
    """What is left out of some class folders, in a few words; empty if nothing is."""
    files: list[str] = []
    inner: list[str] = []
    for folder in folders:
        found = not_read(folder)
        files += found[0]
        inner += found[1]
    kinds = Counter(name if name == NOT_A_FILE else os.path.splitext(name)[1].lower() or "no suffix" for name in files)
    listed = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(NOT_READ))
    more = " .." if len(kinds) > NOT_READ else ""
    heic = "; HEIC needs pillow-heif (pip install pillow-heif)" if {".heic", ".heif"} & kinds.keys() else ""
    parts = [f"{counted(len(files), 'file')} ({listed}{more})"] if files else []
    parts += [counted(len(inner), "folder inside them", "folders inside them")] if inner else []
    return f"{' and '.join(parts)} in the class folders are not read{heic}" if parts else ""


def list_images(folder: Path) -> list[str]:
    """Paths of the image files and links directly in a folder, without hidden ones, in alphabetical order.

    Raises:
        InputError: the folder cannot be listed.
    """
    return sorted(entry.path for entry in entries_of(folder) if is_image(entry))


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
        InputError: the folder is missing or empty, a class has no images, the tokenizer cannot distinguish two classes,
            or ``readable`` names a folder that does not exist.
    """
    if not os.path.isdir(folder):
        raise InputError(
            f"Folder {folder} of task '{task}' is missing; is --data (DATASET.ROOT) the folder that holds it?"
        )
    left = {*ignore, *NO_CLASSES}
    folders = [entry.name for entry in entries_of(folder) if is_folder(entry) and entry.name not in left]
    if not folders:
        raise InputError(
            f"Folder {folder} of task '{task}' has no class folders; it should hold one folder of images per class."
        )
    stray = sorted(set(readable) - set(folders))
    if stray:
        raise InputError(f"Task '{task}' names the class folder '{stray[0]}', which is not in {folder}.")
    names = tuple(readable.get(name, name.replace("_", " ")) for name in folders)
    check_classnames(names, task, folders)
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
