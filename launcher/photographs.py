"""The photographs that a command line names: files, folders, patterns, and a list on standard input.

Pillow is imported when folders are searched, since only it knows which formats it reads; the rest is the standard
library's.
"""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import InputError
from common.text import counted
from launcher import frame

STDIN = "-"
SHOWN = 3  # kinds of files in a message
HEIC = {".heic", ".heif"}
NEEDS_HEIC = "HEIC needs pillow-heif (pip install pillow-heif)"


@dataclass
class Found:
    """The photographs in the order in which they were named, each once.

    Args:
        paths: as they were named; those in a folder begin with its name.
        failures: (path, reason) of folders inside the named ones that cannot be listed.
        others: files in folders that are not images, by suffix.
        hidden: hidden files and folders, which are not searched.
    """

    paths: dict[str, None] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0

    def left_out(self) -> str:
        """What was left out of folders, in a few words; empty if nothing was."""
        listed = ", ".join(f"{kind} {count:,}" for kind, count in self.others.most_common(SHOWN))
        more = " .." if len(self.others) > SHOWN else ""
        files = self.others.total()
        noun = ("file that is not an image", "files that are not images")
        parts = [f"{counted(files, *noun)} ({listed}{more})"] if files else []
        parts += [counted(self.hidden, "hidden file or folder", "hidden files or folders")] if self.hidden else []
        heic = f"; {NEEDS_HEIC}" if HEIC & self.others.keys() else ""
        return " and ".join(parts) + heic


def check(words: Sequence[str]) -> None:
    """InputError unless all files and folders that a command line names exist; nothing is read."""
    if not words:
        raise InputError("Which photographs? Name files or folders, or - for a list on standard input.")
    for word in words:
        if word != STDIN:
            matches(word)


def collect(words: Sequence[str], skip: Path | None = None) -> Found:
    """All photographs that a command line names.

    Args:
        words: files of any name, folders, which are searched with all folders inside, patterns, and "-".
        skip: a folder that is not searched, since copies go there.

    Raises:
        InputError: there are none, a file or folder does not exist, or a folder has no images.
    """
    found = Found()
    for word in words:
        listed = lines_of_stdin() if word == STDIN else matches(word)
        for path in listed:
            if os.path.isdir(path):
                add_folder(found, path, skip)
            else:
                found.paths[path] = None
    if not found.paths:
        raise InputError("There are no photographs to classify.")
    return found


def matches(word: str) -> list[str]:
    """The file or folder that a word names, or all that a pattern does. InputError if there is none."""
    path = str(frame.path(word))
    if os.path.lexists(path):
        # As it was written: Path drops "./", which programs that read our output may look for.
        return [word if os.path.lexists(word) else path]
    if glob.has_magic(path):
        listed = sorted(glob.glob(path, recursive=True))
        if not listed:
            raise InputError(f"No file matches '{word}'.")
        return listed
    raise InputError(f"There is no photograph or folder {word}; check its name.")


def lines_of_stdin() -> list[str]:
    """The paths on standard input, one in a line, or between null characters as after find -print0.

    Raises:
        InputError: there are none.
    """
    content = sys.stdin.buffer.read() if sys.stdin is not None else b""
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    listed = [os.fsdecode(part) for part in parts if part.strip()]
    if not listed:
        raise InputError("Standard input lists no photographs; it should have a path in each line.")
    return [path if os.path.lexists(path) else str(frame.path(path)) for path in listed]


def add_folder(found: Found, folder: str, skip: Path | None) -> None:
    """Add the images in a folder and in the folders inside it, in alphabetical order.

    Raises:
        InputError: it cannot be listed, or has no images.
    """
    others = found.others.copy()
    images = list(walk(found, folder, skip))
    if not images:
        reasons = [reason for path, reason in found.failures if path == folder]
        heic = f"; {NEEDS_HEIC}" if HEIC & (found.others - others).keys() else ""
        what = f"cannot be listed ({reasons[0]})" if reasons else "has no images in it"
        raise InputError(f"Folder {folder} {what}{heic}.")
    found.paths.update(dict.fromkeys(images))


def walk(found: Found, folder: str, skip: Path | None) -> Iterator[str]:
    """The images in a folder and in those inside it; what is left out is counted in ``found``."""
    from prompting.image_files import CLUTTER, is_folder, is_image

    seen = {identity(skip)} if skip is not None else set()
    waiting: list[tuple[str, bool]] = [(folder, True)]  # paths, the next one last; True for folders
    while waiting:
        path, to_search = waiting.pop()
        if not to_search:
            yield path
            continue
        own = identity(path)
        if own in seen:  # links may lead in a circle
            continue
        seen.add(own)
        try:
            with os.scandir(path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            found.failures.append((path, error.strerror or "it cannot be listed"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                found.hidden += 1
            elif is_folder(entry):
                waiting.append((entry.path, True))
            elif is_image(entry):
                waiting.append((entry.path, False))
            elif entry.name.lower() not in CLUTTER:
                found.others[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1


def identity(folder: Path | str) -> object:
    """What two paths to the same folder have in common; None if there is no folder."""
    try:
        state = os.stat(folder)
    except OSError:
        return None
    return (state.st_dev, state.st_ino)
