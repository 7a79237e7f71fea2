"""Extracts archives, and only into their folder."""

from __future__ import annotations

import gzip
import os
import os.path as osp
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath


def _check_names(names: Iterable[str], archive: str) -> None:
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
            raise ValueError(
                f"Archive {archive} has a member {name!r} outside its own folder; nothing was extracted, "
                "download the file from its original source"
            )


def _move_into(source: str, folder: str) -> None:
    for name in os.listdir(source):
        path, target = osp.join(source, name), osp.join(folder, name)
        if osp.isdir(path) and osp.isdir(target):
            _move_into(path, target)
        else:
            os.replace(path, target)


@contextmanager
def _moved_when_complete(folder: str) -> Iterator[str]:
    """Yield a temporary folder whose content moves to ``folder`` if the block succeeds.

    Otherwise a run that is killed while it extracts leaves half a data set, which looks like a whole one.
    """
    os.makedirs(folder, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".extracting-", dir=folder)
    try:
        yield partial
        _move_into(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract_tar(archive: str, folder: str) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        _check_names((member.name for member in members), archive)
        for member in members:
            # A path can leave its folder through a link, and data sets need no devices.
            if not (member.isfile() or member.isdir()):
                raise ValueError(
                    f"Archive {archive} has a member {member.name!r} that is neither a file nor a folder; nothing was "
                    "extracted, unpack it by hand if you trust it"
                )
        with _moved_when_complete(folder) as partial:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(partial, filter="data")
            else:
                tar.extractall(partial)


def _kind(archive: str) -> str:
    if archive.endswith(".zip"):
        return "zip"
    if archive.endswith((".tar", ".tar.gz", ".tgz")):
        return "tar"
    # The name of a download may not show its type.
    if osp.isfile(archive):
        return "zip" if zipfile.is_zipfile(archive) else "tar" if tarfile.is_tarfile(archive) else ""
    return ""


def extract_archive(archive: str, folder: str) -> None:
    """Extract a .zip, .tar, .tar.gz or .tgz into ``folder``; the content decides if the name has no known suffix.

    Raises:
        ValueError: the file is not such an archive, is damaged, or has a member that is a link, a device or outside
            ``folder``. Nothing is extracted then.
    """
    folder = folder or "."
    try:
        kind = _kind(archive)
        if kind == "zip":
            with zipfile.ZipFile(archive) as zipped:
                _check_names(zipped.namelist(), archive)
                with _moved_when_complete(folder) as partial:
                    zipped.extractall(partial)
        elif kind == "tar":
            _extract_tar(archive, folder)
        else:
            raise ValueError(f"{osp.basename(archive)} is not an archive of a known type (.zip, .tar, .tar.gz, .tgz)")
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"Archive {archive} is damaged ({error}); delete it and download it again") from error
