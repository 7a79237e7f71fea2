"""Fetching one file of a data set: downloading with gdown, checking, unpacking, and remembering that it is done.

Everything passes through ``<data root>/.downloads/<source>/``, so that the data root never holds half of anything.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import inspect
import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from common.errors import FULL, of_system
from common.files import is_regular, read_text, write_atomically
from common.text import counted, one_line

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# Retries within a call, and a limit on waiting for a server; older releases of gdown have neither.
GDOWN_OPTIONS = {"retries": 3, "timeout": 60}
PART = ".part"  # gdown's suffix of a file that has not arrived whole, after eight characters of its own
# What is unpacked may be so many times as large as the source's downloads, if their size is known, and in any case this
# many bytes plus so many times the archive. Archives of images hold little more than their own size.
KNOWN_TIMES, MOST_BYTES, MOST_TIMES = 10, 256 << 20, 50


class FetchError(Exception):
    """A file could not be fetched or used; the message is one line saying what to do."""


def downloads_folder(root: Path, source: str) -> Path:
    """Where a source's downloads are kept."""
    return root / ".downloads" / source


def file_name(download: Any) -> str:
    """The name of a download in the downloads folder."""
    if not download.unpack:
        return Path(download.to).name
    # The archive's name may be anywhere in an address: .../x.zip, .../x.zip?download=1, ...?file=/data/x.zip
    parts = [part for part in re.split(r"[/?&=:]", unquote(download.url)) if part]
    return next((part for part in reversed(parts) if part.endswith(ARCHIVES)), parts[-1])


def is_done(download: Any, root: Path, source: str) -> bool:
    """True if it was fetched and, if it is an archive, unpacked."""
    if not download.unpack:
        return is_regular(root / download.to)
    try:
        url, _, md5 = read_text(_marker(download, downloads_folder(root, source))).rstrip("\n").partition(" ")
    except (OSError, ValueError):
        return False
    return url == download.url and md5 in ("", download.md5)  # "": before its md5 was known


def changed(download: Any, root: Path, source: str) -> str:
    """A line if a file in its place is not the one that was fetched first; empty if it is, or nothing is known."""
    path, record = root / download.to, _record(download, downloads_folder(root, source))
    if download.unpack or not is_regular(path) or not is_regular(record):
        return ""
    try:
        if _recorded(record) == _digest(path, "sha256"):
            return ""
    except OSError as error:
        return f"{path} cannot be compared with {record} ({one_line(error.strerror or error)})."
    return (
        f"{path} is not the file that was fetched first: it has changed, or is damaged. Remove it to have it fetched "
        f"again, or, if the change is meant, remove {record}."
    )


def fetch(download: Any, root: Path, source: str, quiet: bool = True, size: int = 0) -> None:
    """Fetch one file, check it, and put it or its content in place; an interrupted download continues.

    ``size`` is that of the source's downloads in bytes, 0 if not known: it bounds what is unpacked.

    A file without a published checksum is recorded beside the downloads when it is first used, and compared with the
    record afterwards.

    Raises:
        FetchError: it did not arrive whole, is not the published file, or cannot be unpacked safely. Its place then
            holds nothing of it, and the bytes that arrived are kept in the downloads folder.
    """
    folder = downloads_folder(root, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            arrived, place = folder / file_name(download), root / download.to
            for path in (arrived, place):
                if os.path.lexists(path) and not is_regular(path) and not (path == place and download.unpack):
                    raise FetchError(f"{path} is not a file; move it away and run the same command again.")
            _sweep(arrived)
            if not arrived.is_file():
                _download(download.url, arrived, quiet)
            digest = _check(download, arrived, root)
            if download.unpack:
                _unpack(arrived, place, size)
                write_atomically(_marker(download, folder), _signature(download))
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(arrived, place)
            if digest:
                write_atomically(_record(download, folder), f"{digest}  {arrived.name}\n")
    except OSError as error:
        if error.errno in FULL:
            raise FetchError(f"{file_name(download)}: {of_system(error, root)}") from None
        raise FetchError(f"{file_name(download)}: {one_line(error)}; run the same command again.") from None


def tidy(downloads: Sequence[Any], root: Path, source: str) -> None:
    """Remove the parts of downloads that were fetched in the meantime, which killed processes left."""
    folder = downloads_folder(root, source)
    with contextlib.suppress(OSError):
        for download in downloads:
            if _parts(folder / file_name(download)) and is_done(download, root, source):
                with _alone(folder):
                    _sweep(folder / file_name(download), done=True)


def check_space(need: int, root: Path) -> None:
    """FetchError unless the data root's disk has ``need`` bytes left."""
    there = next(place for place in (root, *root.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free < need:
        raise FetchError(
            f"It needs about {need / 1e9:.1f} GB (archive and content) in {root}, where {free / 1e9:.1f} GB are free; "
            "make room, or name another folder with --data."
        )


def _digest(path: Path, kind: str) -> str:
    """The file's md5 or sha256 as hexadecimal digits."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _marker(download: Any, folder: Path) -> Path:
    return folder / f"{file_name(download)}.unpacked"


def _record(download: Any, folder: Path) -> Path:
    """Where the checksum of a file without a published one is, in the form that `sha256sum` reads."""
    return folder / f"{file_name(download)}.sha256"


def _recorded(record: Path) -> str:
    """The checksum in a record; empty if it holds none."""
    try:
        return (read_text(record).split() or [""])[0]
    except ValueError:
        return ""


def _signature(download: Any) -> str:
    return f"{download.url} {download.md5}\n"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes that append to one partial file would damage it, so the second one waits."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(url: str, to: Path, quiet: bool) -> None:
    import gdown  # seconds to import, and only needed here
    import requests

    known = inspect.signature(gdown.download).parameters
    options: dict[str, Any] = {key: value for key, value in GDOWN_OPTIONS.items() if key in known}
    place: dict[str, Any] = {"id": url.removeprefix("gdrive:")} if url.startswith("gdrive:") else {"url": url}
    try:
        got = gdown.download(output=str(to), quiet=quiet, resume=True, **place, **options)
    except Exception as error:  # gdown's own errors have different names from release to release
        if not isinstance(error, requests.RequestException) and not type(error).__module__.startswith("gdown"):
            raise
        raise FetchError(_failure_of(url, to, error)) from None
    if got is None:  # releases before 5
        raise FetchError(_failure_of(url, to, None))
    with open(to, "rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        to.unlink()
        raise FetchError(f"{url} gave a web page instead of the file (removed again); open it in a browser, download "
                         f"the file and put it at {to}.")  # fmt: skip


def _failure_of(url: str, to: Path, error: Exception | None) -> str:
    reason = textwrap.shorten(str(error or "no reason given"), 200, placeholder=" ...")
    partial = _parts(to)
    kept = f"the same command continues {partial[-1]} (remove it to start again)" if partial else "try again"
    address = url.replace("gdrive:", "https://drive.google.com/uc?id=")
    return f"{address} could not be fetched ({reason}); {kept}, or put the file at {to} yourself."


def _parts(arrived: Path) -> list[Path]:
    """What gdown kept of a file that did not arrive whole, the largest last."""
    length = len(arrived.name) + 8 + len(PART)
    found = [path for path in arrived.parent.glob(f"*{PART}") if len(path.name) == length and is_regular(path)]
    return sorted((path for path in found if path.name.startswith(arrived.name)), key=lambda path: path.stat().st_size)


def _sweep(arrived: Path, done: bool = False) -> None:
    """Remove the parts that killed processes left of a file: all once it is there, else all but the largest, since
    gdown continues a single one."""
    parts = _parts(arrived)
    for path in parts if done or arrived.is_file() else parts[:-1]:
        path.unlink(missing_ok=True)


def _check(download: Any, arrived: Path, root: Path) -> str:
    """Compare a file with what is published or, failing that, with its record; return what is to be recorded.

    Raises:
        FetchError: it is another file.
    """
    place = root / download.to
    trusted = f"if you trust it, {'unpack it' if download.unpack else 'move it'} yourself: it belongs to {place}."
    if download.size and (size := arrived.stat().st_size) != download.size:
        raise FetchError(
            f"{arrived} has {size:,} bytes instead of {download.size:,}: it is damaged, or the release has changed. "
            f"Remove it and run the same command again, or, {trusted}"
        )
    for kind, published in (("md5", download.md5), ("sha256", download.sha256)):
        if published and (found := _digest(arrived, kind)) != published:
            raise FetchError(
                f"{arrived} has {kind} {found} instead of {published}: it is damaged, or the release has changed. "
                f"Remove it and run the same command again, or, {trusted}"
            )
    if download.md5 or download.sha256:
        return ""
    found, record = _digest(arrived, "sha256"), _record(download, arrived.parent)
    if is_regular(record) and (first := _recorded(record)) != found:
        raise FetchError(
            f"{arrived} has sha256 {found}, but {record} says {first or 'nothing'}, as when it was fetched first: it "
            f"is damaged, or the release has changed. Remove it and run the same command again or, if you trust it, "
            f"remove {record}."
        )
    return found


def _unpack(archive: Path, to: Path, size: int) -> None:
    """Unpack beside the archive, inner archives too; then move everything to its place."""
    try:
        from dassl.data.datasets.archives import extract_archive
    except ImportError:  # upstream's dassl, which lets an archive write outside its folder
        raise FetchError(
            f"{archive} is unpacked by the dassl in toolbox/ only (pip install ./toolbox), and another one is "
            f"installed; or unpack it yourself: it belongs to {to}."
        ) from None

    for left_over in archive.parent.glob("unpacking-*"):  # by a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    own = archive.stat().st_size
    limit = MOST_BYTES + MOST_TIMES * own
    limit = min(limit, KNOWN_TIMES * max(size, own)) if size else limit
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=archive.parent) as name:
        folder = Path(name)
        check_space(own, archive.parent)
        try:
            extract_archive(str(archive), name, limit)
            for inner in sorted(folder.rglob("*")):
                if inner.name.endswith(ARCHIVES) and inner.is_file() and "__MACOSX" not in inner.parts:
                    if not inner.name.startswith("."):
                        extract_archive(str(inner), str(inner.parent), limit - kept_bytes(folder))
                        inner.unlink()
        except ValueError as error:
            raise FetchError(one_line(error).rstrip(".") + ".") from None
        to.mkdir(parents=True, exist_ok=True)
        kept = [path for entry in sorted(folder.iterdir()) if entry.name != "__MACOSX"
                for path in _move(entry, to / entry.name)]  # fmt: skip
    if kept:
        print(f"{counted(len(kept), 'file')} in {to} differed from the archive's; the old ones are kept, the first as "
              f"{kept[0]}.")  # fmt: skip


def _move(entry: Path, to: Path) -> Iterator[Path]:
    """Move a file or folder; the content of a folder is added to one that exists. Yield where a file that differs is
    kept, since it could be the user's own."""
    if entry.is_dir() and to.is_dir():
        for inner in sorted(entry.iterdir()):
            yield from _move(inner, to / inner.name)
        return
    if is_regular(to) and entry.is_file() and filecmp.cmp(entry, to, shallow=False):
        return
    if os.path.lexists(to):
        places = (to.with_name(f"{to.name}.old{number or ''}") for number in count())
        old = next(place for place in places if not os.path.lexists(place))
        os.rename(to, old)
        yield old
    shutil.move(entry, to)


def in_bytes(size: str) -> int:
    """Bytes of "600 MB", "about 2.5 GB"; 0 if the text has no size."""
    found = re.search(r"([0-9][0-9.,]*)\s*([KMGT])B", size)
    return int(float(found[1].replace(",", "")) * {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[found[2]]) if found else 0


def kept_bytes(folder: Path) -> int:
    """The size of a folder's files, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
