"""Has the folder of the pictures changed since a run was finished? Names and sizes of files are compared.

A finished run records the folders that its images are in: how many files each has, a hash of their names and sizes
and, where class folders lie side by side, the names of these. Comparing reads no image and needs no PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from common.files import write_atomically

FILE = "pictures.json"
LISTED = 3  # changes in a message
MANY = 100_000  # with more files, sizes are left out: asking for each takes minutes on a network disk
CLUTTER = {"thumbs.db", "desktop.ini"}


def record(run: Path, root: Path, images: Iterable[str]) -> None:
    """Write the state of the folders of some images into a run's folder. Images outside ``root`` are left out."""
    root = root.absolute()
    folders = {Path(os.path.abspath(path)).parent for path in images}
    inside = sorted(folder.relative_to(root).as_posix() for folder in folders if folder.is_relative_to(root))
    parents = Counter(os.path.dirname(folder) for folder in inside)
    sizes = sum(len(os.listdir(root / folder)) for folder in inside) <= MANY
    state = {
        "sizes": sizes,
        "files": {folder: _state(root / folder, sizes) for folder in inside},
        "class_folders": {parent: _subfolders(root / parent) for parent, n in sorted(parents.items()) if n > 1},
    }
    write_atomically(run / FILE, json.dumps(state, indent=1) + "\n")


def changes(run: Path, root: Path) -> str:
    """What differs between a run's record and the folders below ``root``, in a few words; empty if nothing does.

    Also empty for a run without a record, and if ``root`` has none of the folders: results outlive the pictures.
    """
    try:
        text = (run / FILE).read_text("utf-8")
    except (OSError, ValueError):
        return ""
    return _changes(text, root)


@cache
def _changes(text: str, root: Path) -> str:
    """The same for the text of a record; cached, since runs of one collection have the same record."""
    try:
        state = json.loads(text)
        files = {str(folder): (int(n), str(names)) for folder, (n, names) in state["files"].items()}
        sizes = bool(state["sizes"])
        class_folders = {str(parent): set(map(str, names)) for parent, names in state["class_folders"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    if not any((root / folder).is_dir() for folder in files):
        return ""
    found = []
    for parent, before in class_folders.items():
        now = set(_subfolders(root / parent))
        found += [f"folder '{parent}/{name}' is new" for name in sorted(now - before)]
    for folder, (count, names) in files.items():
        if not (root / folder).is_dir():
            found.append(f"folder '{folder}' is gone")
            continue
        now_count, now_names = _state(root / folder, sizes)
        if now_count != count:
            found.append(f"'{folder}' has {now_count:,} files instead of {count:,}")
        elif now_names != names:
            found.append(f"'{folder}' has other files")
    more = f" and {len(found) - LISTED} more changes" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more


def _state(folder: Path, sizes: bool) -> tuple[int, str]:
    """How many files a folder has, and a hash of their names and, if asked for, ``sizes``."""
    with os.scandir(folder) as entries:
        files = [e for e in entries if not _ignored(e.name) and e.is_file()]
        names = sorted(f"{e.name}\t{e.stat().st_size}" if sizes else e.name for e in files)
    return len(names), hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not _ignored(entry.name) and entry.is_dir())


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER
