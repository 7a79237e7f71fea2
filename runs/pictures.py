"""Have the pictures changed since a run was finished? Names, sizes and, of small data sets, contents are compared.

A finished run records the folders that its images are in: how many files each has, a hash of their names and sizes, a
hash of their contents and, where class folders lie side by side, the names of these. Comparing needs no PyTorch.

Contents are read if all files of the recorded folders have up to 64 MiB together; in larger ones another picture of the
same name and size goes unnoticed. With more than 100,000 files, names alone are compared.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import SEAL, parse_json, read_bytes, read_text, unsealed, write_record
from common.notices import notice
from common.text import one_line, some

FILE = "pictures.json"
LISTED = 3  # changes in a message
MANY = 100_000  # with more files, sizes are left out: asking for each takes minutes on a network disk
CONTENT_BYTES = 64 << 20  # with more, contents are left out
CLUTTER = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class State:
    """What is recorded: (files, hash of names and sizes, hash of contents or "") by folder, and the class folders of
    parents."""

    sizes: bool
    files: dict[str, tuple[int, str, str]]
    class_folders: dict[str, set[str]]


def record(run: Path, root: Path, images: Iterable[str]) -> None:
    """Write the state of the folders of some images into a run's folder. Images outside ``root`` are left out."""
    root = root.absolute()
    folders = {Path(os.path.abspath(path)).parent for path in images}
    inside = sorted(folder.relative_to(root).as_posix() for folder in folders if folder.is_relative_to(root))
    parents = Counter(os.path.dirname(folder) for folder in inside)
    sizes = sum(len(os.listdir(root / folder)) for folder in inside) <= MANY
    files = {folder: _files(root / folder, sizes) for folder in inside}
    contents = sizes and sum(size for found in files.values() for _, size in found) <= CONTENT_BYTES
    state = {
        "sizes": sizes,
        "files": {
            folder: [*_state(found, sizes), _contents(root / folder) if contents else ""]
            for folder, found in files.items()
        },
        "class_folders": {parent: _subfolders(root / parent) for parent, n in sorted(parents.items()) if n > 1},
    }
    write_record(run / FILE, state)


def check(run: Path, root: Path, remedy: str) -> None:
    """InputError if the pictures of a finished run differ from those below ``root``; ``remedy``: what to do then.

    Results outlive the pictures: without any of the folders below ``root``, a notice says that they were elsewhere.
    """
    found = changes(run, root)
    if found:
        raise InputError(f"{run} is finished, but its pictures in {root} changed since: {found}; {remedy}.")
    lacking = missing(run, root)
    if lacking:
        notice(
            f"{root} has no folder {some(lacking)}: finished runs are reported as they are, and their pictures were "
            "elsewhere or are gone."
        )


def changes(run: Path, root: Path) -> str:
    """What differs between a run's record and the folders below ``root``, in a few words; empty if nothing does.

    Also empty for a run without a record, and if ``root`` has none of the folders: results outlive the pictures.
    """
    return _changes(_text(run), root)


def missing(run: Path, root: Path) -> list[str]:
    """The folders of a run's pictures if ``root`` exists but has none of them; empty otherwise."""
    state = _read(_text(run))
    if state is None or not os.path.isdir(root) or any(os.path.isdir(root / folder) for folder in state.files):
        return []
    return sorted({folder.split("/")[0] for folder in state.files})


def _text(run: Path) -> str:
    """The text of a run's record; empty if there is none, or if it is damaged, which a notice says."""
    try:
        text = read_text(run / FILE)
        _unsealed(text)
        return text
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        reason = one_line(getattr(error, "strerror", None) or error)
        notice(f"{run / FILE} is damaged ({reason}), so changes of the pictures since that run go unnoticed.")
        return ""


def _unsealed(text: str) -> Any:
    """The content of a record; ValueError if it is damaged. Those of earlier versions have no checksum."""
    state = parse_json(text)
    return unsealed(state) if isinstance(state, dict) and SEAL in state else state


def _read(text: str) -> State | None:
    """The record in ``text``; None if there is none."""
    try:
        state = _unsealed(text)
        # Earlier versions recorded no contents.
        files = {
            str(folder): (int(n), str(names), "".join(more)) for folder, (n, names, *more) in state["files"].items()
        }
        class_folders = {str(parent): set(map(str, names)) for parent, names in state["class_folders"].items()}
        return State(bool(state["sizes"]), files, class_folders)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@cache
def _changes(text: str, root: Path) -> str:
    """The same for the text of a record; cached, since runs of one collection have the same record."""
    state = _read(text)
    if state is None or not any(os.path.isdir(root / folder) for folder in state.files):
        return ""
    found = []
    for parent, before in state.class_folders.items():
        now = set(_subfolders(root / parent))
        found += [f"folder '{parent}/{name}' is new" for name in sorted(now - before)]
    for folder, (count, names, contents) in state.files.items():
        if not os.path.isdir(root / folder):
            found.append(f"folder '{folder}' is gone")
            continue
        now_count, now_names = _state(_files(root / folder, state.sizes), state.sizes)
        if now_count != count:
            found.append(f"'{folder}' has {now_count:,} files instead of {count:,}")
        elif now_names != names:
            found.append(f"'{folder}' has other files")
        elif contents and _contents(root / folder) != contents:
            found.append(f"'{folder}' has files of the same names with another content")
    more = f" and {len(found) - LISTED} more changes" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more


def _files(folder: Path, sizes: bool) -> list[tuple[str, int]]:
    """(name, size) of the regular files in a folder, sorted; without ``sizes``, 0 for these."""
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if not _ignored(entry.name) and _is(entry, os.DirEntry.is_file)]
        return sorted((entry.name, entry.stat().st_size if sizes else 0) for entry in files)


def _is(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool]) -> bool:
    """What ``kind`` says of an entry; False for a link in a circle."""
    try:
        return kind(entry)
    except OSError:
        return False


def _state(files: Sequence[tuple[str, int]], sizes: bool) -> tuple[int, str]:
    """How many files there are, and a hash of their names and, if asked for, ``sizes``."""
    names = [f"{name}\t{size}" if sizes else name for name, size in files]
    names.sort()
    return len(names), hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _contents(folder: Path) -> str:
    """A hash of the contents of a folder's files; a file that cannot be read counts as such."""
    digest = hashlib.sha256()
    for name, _ in _files(folder, False):
        try:
            content = read_bytes(folder / name, CONTENT_BYTES)
        except OSError:
            content = b"?"
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if not _ignored(entry.name) and _is(entry, os.DirEntry.is_dir)
            )
    except FileNotFoundError:
        return []


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER
