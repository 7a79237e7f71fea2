"""The folder of a drawn collection: whether it is ours and complete, and how a fresh one is put in its place.

Only files that we wrote are removed. They are known by ``split.json``, which carries a hash of its own content and of
every picture's name and size, or by being equal, byte for byte, to what is drawn again.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from common.disk import ended
from common.errors import InputError
from common.files import is_regular, read_json, unsealed, write_record
from common.notices import notice
from common.text import one_line

from .tasks import TASKS

SPLIT, FILES = "split.json", "files"
HEAD = b'{\n "name": "Garden-8",\n'  # of every split.json that was ever written here
TEMPORARY = re.compile(r"\.garden8-(?P<host>[\w.-]+)-(?P<pid>[1-9]\d{0,9})-[a-z0-9_]{8}")  # see `temporary`
DAY = 24 * 3600


def slug(name: str) -> str:
    """The folder name for a class or task."""
    return name.replace(" ", "_")


FOLDERS = {f"images/{slug(task.name)}/{slug(name)}" for task in TASKS for name in task.classnames}
PARENTS = {str(parent) for folder in FOLDERS for parent in Path(folder).parents} | FOLDERS


@dataclass
class Plan:
    """What is to be drawn: the content of ``split.json`` without hashes, and the paths of all pictures."""

    split: dict[str, Any]
    pictures: Sequence[str]

    def record(self, folder: Path) -> dict[str, Any]:
        """The content of ``split.json`` for the pictures in a folder."""
        return {**self.split, FILES: hash_of_files(folder, self.pictures)}


def hash_of_files(folder: Path, pictures: Iterable[str]) -> str:
    """A hash of the pictures' names and sizes; OSError if one is missing."""
    digest = hashlib.sha256()
    for path in sorted(pictures):
        digest.update(f"{path}\t{os.stat(folder / path).st_size}\n".encode())
    return digest.hexdigest()


def is_complete(folder: Path, plan: Plan) -> bool:
    """True if exactly the planned collection is there. One of an earlier version of this code, whose ``split.json`` has
    no hash, is taken if that is what is planned, and gets one."""
    try:
        split = read_json(folder / SPLIT)
        if split == plan.split:
            sealed_now = plan.record(folder)
            try:
                write_record(folder / SPLIT, sealed_now)
            except OSError:
                pass  # read only
            return True
        return unsealed(split) == plan.record(folder)
    except (OSError, ValueError):
        return False


def check_ours(folder: Path) -> None:
    """Refuse a folder with anything in it that we do not write."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise _refused(folder, folder, "it is not a folder")
    try:
        unsealed(read_json(folder / SPLIT))
    except (OSError, ValueError):
        if os.path.lexists(folder / SPLIT) and not _head_is_ours(folder / SPLIT):
            raise _refused(folder, folder / SPLIT, "it was not written here") from None
    stray = next((path for path in _walk(folder) if not _named_by_us(path) or (folder / path).is_symlink()), None)
    if stray is not None:
        raise _refused(folder, folder / stray, "it was not drawn here")


def put(fresh: Path, folder: Path, plan: Plan) -> None:
    """Put a finished collection in place, unless it is there by now.

    Where the folder exists, a picture is added if it is missing. One that differs is replaced if the folder's
    ``split.json`` says that we wrote it.

    Raises:
        InputError: a file is not ours, or was changed.
    """
    for _ in range(3):
        try:
            os.replace(fresh, folder)
            return
        except OSError:
            if not os.path.lexists(folder):
                raise
        if is_complete(folder, plan):
            return
        check_ours(folder)
        if not _written_here(folder):
            _merge(fresh, folder, plan)
            return
        if folder.is_symlink():
            raise _refused(folder, folder, "it is a link to a collection with other settings")
        old = temporary(folder.parent)
        try:
            os.replace(folder, old / "garden8")
        except FileNotFoundError:
            pass  # another process moved it away first
        remove_drawn(old)
    if not is_complete(folder, plan):
        raise OSError(f"could not put the finished collection at {folder}")


def _written_here(folder: Path) -> bool:
    """True if ``split.json`` is whole and every file of the folder is one that it speaks of."""
    try:
        split = unsealed(read_json(folder / SPLIT))
        pictures = [path for task in split["tasks"] for part in ("train", "val", "test") for path, _ in task[part]]
        there = {path for path in _walk(folder) if not (folder / path).is_dir()}
        return split[FILES] == hash_of_files(folder, pictures) and there == {*pictures, SPLIT}
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _merge(fresh: Path, folder: Path, plan: Plan) -> None:
    """Add what is missing of a collection, which must otherwise be the same."""
    missing = []
    for path in plan.pictures:
        if not os.path.lexists(folder / path):
            missing.append(path)
        elif not is_regular(folder / path) or not filecmp.cmp(fresh / path, folder / path, shallow=False):
            raise _refused(folder, folder / path, "it is not the picture that is drawn there")
    stray = next((path for path in _walk(folder) if path.endswith(".jpg") and path not in set(plan.pictures)), None)
    if stray is not None:
        raise _refused(folder, folder / stray, "it is of a collection with other settings")
    for path in missing:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(fresh / path, folder / path)
    if os.path.lexists(folder / SPLIT):
        _keep_aside(folder / SPLIT, (fresh / SPLIT).read_bytes())
    os.replace(fresh / SPLIT, folder / SPLIT)


def _keep_aside(split: Path, ours: bytes) -> None:
    """Rename a ``split.json`` that differs, since it could be the user's own; one that was only cut off is not kept."""
    if ours.startswith(split.read_bytes()):
        return
    old = next(path for n in count(1) if not os.path.lexists(path := split.with_name(f"{SPLIT}.old{n}")))
    os.rename(split, old)
    notice(f"{split} is not the list of the pictures beside it; it is kept as {old} and written again.")


def _refused(folder: Path, path: Path, reason: str) -> InputError:
    remedy = f"Move {folder} away, or draw elsewhere with --data."
    return InputError(f"{path} is in the way of Garden-8: {one_line(reason)}. {remedy}")


def _walk(folder: Path) -> Iterable[str]:
    """The paths of all that is in a folder, below it, except what file managers leave."""
    for place, folders, files in os.walk(folder):
        inner = os.path.relpath(place, folder)
        for name in (*folders, *files):
            if name not in (".DS_Store", "Thumbs.db", "desktop.ini"):
                yield os.path.normpath(os.path.join(inner, name)).replace(os.sep, "/")


def _named_by_us(path: str) -> bool:
    parent, _, name = path.rpartition("/")
    if path in PARENTS or (parent in FOLDERS and re.fullmatch(r"\d{3,}\.jpg", name)):
        return True
    return re.fullmatch(r"split\.json(\.partial|\.old\d+)?|\.split\.json\.\d+", path) is not None


def _head_is_ours(path: Path) -> bool:
    """True for a ``split.json`` that begins as ours, or is a beginning of it."""
    if not is_regular(path):
        return False
    with open(path, "rb") as file:
        head = file.read(len(HEAD))
    return HEAD.startswith(head)


# -- temporary folders --


def temporary(root: Path) -> Path:
    """A new temporary folder below the data root, with the host and the process that made it in its name."""
    return Path(tempfile.mkdtemp(prefix=f".garden8-{_host()}-{os.getpid()}-", dir=root))


def _host() -> str:
    return re.sub(r"[^\w.]+", "-", socket.gethostname()) or "host"


def sweep(root: Path) -> None:
    """Remove the temporary folders that killed processes left: of this host if they no longer run, others after a day.

    What is not ours in them stays, and so does the folder then."""
    for path in root.glob(".garden8-*"):
        match = TEMPORARY.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_dir():
            continue
        try:
            left = ended(int(match["pid"])) if match["host"] == _host() else time.time() - path.stat().st_mtime > DAY
        except OSError:
            continue  # another process removed it
        if left:
            remove_drawn(path)


def remove_drawn(folder: Path) -> None:
    """Remove the files of ours in a temporary folder, then the folders that are empty; nothing else."""
    for top in (folder, folder / "garden8"):
        for path in sorted(_walk(top), reverse=True) if top.is_dir() else ():
            if _named_by_us(path) and not (top / path).is_dir():
                (top / path).unlink(missing_ok=True)
    for place, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(place)
        except OSError:
            pass  # not empty, or removed by another process
