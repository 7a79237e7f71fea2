"""Fetching one file of a data set: downloading with gdown, checking, unpacking, and remembering that it is done.

Everything passes through ``<data root>/.downloads/<source>/``, so that the data root never holds half of anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from common.text import one_line

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# Retries within a call, and a limit on waiting for a server; older releases of gdown have neither.
GDOWN_OPTIONS = {"retries": 3, "timeout": 60}


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
        return (root / download.to).is_file()
    marker = _marker(download, downloads_folder(root, source))
    return marker.is_file() and marker.read_text("utf-8") == _signature(download)


def fetch(download: Any, root: Path, source: str, quiet: bool = True) -> None:
    """Fetch one file, check it, and put it or its content in place; an interrupted download continues.

    Raises:
        FetchError: it did not arrive whole, is not the published file, or cannot be unpacked safely. Its place then
            holds nothing of it, and the bytes that arrived are kept in the downloads folder.
    """
    folder = downloads_folder(root, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            arrived = folder / file_name(download)
            if not arrived.is_file():
                _download(download.url, arrived, quiet)
            _check(download, arrived, root)
            if download.unpack:
                _unpack(arrived, root / download.to)
                _marker(download, folder).write_text(_signature(download), "utf-8")
            else:
                (root / download.to).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(arrived, root / download.to)
    except OSError as error:
        raise FetchError(f"{file_name(download)}: {one_line(error)}; run the same command again.") from None


def check_space(need: int, root: Path) -> None:
    """FetchError unless the data root's disk has ``need`` bytes left."""
    there = next(place for place in (root, *root.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free < need:
        raise FetchError(
            f"It needs about {need / 1e9:.1f} GB (archive and content) in {root}, where {free / 1e9:.1f} GB are free; "
            "make room, or name another folder with --data."
        )


def md5_of(path: Path) -> str:
    """The file's md5 as hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _marker(download, folder: Path) -> Path:
    return folder / f"{file_name(download)}.unpacked"


def _signature(download) -> str:
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
    partial = sorted(to.parent.glob(f"{to.name}*.part"))
    kept = f"the same command continues {partial[0]} (remove it to start again)" if partial else "try again"
    address = url.replace("gdrive:", "https://drive.google.com/uc?id=")
    return f"{address} could not be fetched ({reason}); {kept}, or put the file at {to} yourself."


def _check(download, arrived: Path, root: Path) -> None:
    if download.md5 and (md5 := md5_of(arrived)) != download.md5:
        raise FetchError(
            f"{arrived} has md5 {md5} instead of {download.md5}: it is damaged, or the release has changed. Remove it "
            f"and run the same command again, or, if you trust it, "
            f"{'unpack it' if download.unpack else 'move it'} yourself: it belongs to {root / download.to}."
        )


def _unpack(archive: Path, to: Path) -> None:
    """Unpack beside the archive, inner archives too; then move everything to its place."""
    try:
        from dassl.data.datasets.archives import extract_archive
    except ImportError:  # upstream's dassl, which lets an archive write outside its folder
        raise FetchError(
            f"{archive} is unpacked by the dassl in toolbox/ only (pip install ./toolbox), and another one is "
            f"installed; or unpack it yourself: it belongs to {to}."
        ) from None

    for left_over in archive.parent.glob("unpacking-*"):  # by a process that was killed
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=archive.parent) as name:
        folder = Path(name)
        check_space(archive.stat().st_size, archive.parent)
        try:
            extract_archive(str(archive), name)
            for inner in sorted(folder.rglob("*")):
                if inner.name.endswith(ARCHIVES) and inner.is_file() and "__MACOSX" not in inner.parts:
                    if not inner.name.startswith("."):
                        extract_archive(str(inner), str(inner.parent))
                        inner.unlink()
        except ValueError as error:
            raise FetchError(one_line(error) + ".") from None
        to.mkdir(parents=True, exist_ok=True)
        for entry in sorted(folder.iterdir()):
            if entry.name != "__MACOSX":
                _move(entry, to / entry.name)


def _move(entry: Path, to: Path) -> None:
    """Move a file or folder; the content of a folder is added to one that exists."""
    if entry.is_dir() and to.is_dir():
        for inner in sorted(entry.iterdir()):
            _move(inner, to / inner.name)
    else:
        shutil.move(entry, to)


def in_bytes(size: str) -> int:
    """Bytes of "600 MB", "about 2.5 GB"; 0 if the text has no size."""
    found = re.search(r"([0-9][0-9.,]*)\s*([KMGT])B", size)
    return int(float(found[1].replace(",", "")) * {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[found[2]]) if found else 0


def kept_bytes(folder: Path) -> int:
    """The size of a folder's files, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
