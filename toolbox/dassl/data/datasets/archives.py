"""Extracts archives, and only into their folder: all of one or nothing, and no more than its size suggests."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import os.path as osp
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

# Images are compressed already, so an archive is about as large as its content. One that holds far more is meant to
# fill the disk. These bound the content if the caller does not: some bytes, plus so many times the archive's size.
MOST_BYTES, MOST_TIMES = 256 << 20, 50
MEMBER_BYTES = 512  # counted for each member too, or millions of empty files would be nothing
MOST_MEMBERS = 5_000_000  # ImageNet-1k has 1.3 million images
MOST_LEVELS, MOST_NAME_BYTES, MOST_PATH_BYTES = 64, 255, 2048  # what file systems and Python's recursion bear
HEADER_BYTES = 16 << 20  # the longest header of a tar member that is read
ENCRYPTED = 1  # a bit of a zip member's flags
PARTIAL, DAY = ".extracting-", 24 * 3600


class _Refused(ValueError):
    """What is in the archive is not extracted; the message says why."""


def _refuse(archive: str, reason: str, remedy: str) -> _Refused:
    return _Refused(f"Archive {archive} {reason}; nothing was extracted, {remedy}")


def _check_names(names: Iterable[str], archive: str) -> None:
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
            raise _refuse(
                archive, f"has a member {name!r} outside its own folder", "download the file from its original source"
            )
        sizes = [len(os.fsencode(part)) for part in parts]
        if len(sizes) > MOST_LEVELS or max(sizes, default=0) > MOST_NAME_BYTES or sum(sizes) > MOST_PATH_BYTES:
            raise _refuse(
                archive,
                f"has a member {name[:40]!r}... with a path of {len(sizes):,} levels and {sum(sizes):,} bytes, more "
                "than a disk may hold",
                "unpack it by hand if you trust it",
            )


def _check_size(size: int, members: int, limit: int, archive: str) -> None:
    if size > limit or members > MOST_MEMBERS:
        raise _refuse(
            archive,
            f"of {osp.getsize(archive) / 1e6:,.1f} MB has more than {limit / 1e6:,.0f} MB or {MOST_MEMBERS:,} files in "
            "it",
            "unpack it by hand if you trust it",
        )


def _check_space(size: int, folder: str) -> None:
    place = osp.abspath(folder)
    while not osp.isdir(place):
        place = osp.dirname(place)
    if size > shutil.disk_usage(place).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)


def _check_places(source: str, folder: str) -> None:
    """ValueError if a file would replace a folder, or the other way round."""
    for entry in os.scandir(source):
        target = osp.join(folder, entry.name)
        if osp.lexists(target) and osp.isdir(entry.path) != osp.isdir(target):
            raise _Refused(f"{target} is in the way of what is extracted; move it away. Nothing was extracted")
        if osp.isdir(target):
            _check_places(entry.path, target)


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

    Otherwise a run that is killed while it extracts leaves half a data set, which looks like a whole one. What killed
    runs left in such folders is removed after a day.
    """
    os.makedirs(folder, exist_ok=True)
    for entry in os.scandir(folder):
        if entry.name.startswith(PARTIAL) and entry.is_dir(follow_symlinks=False):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > DAY:
                shutil.rmtree(entry.path, ignore_errors=True)
    partial = tempfile.mkdtemp(prefix=PARTIAL, dir=folder)
    try:
        yield partial
        _check_places(partial, folder)
        _move_into(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract_zip(archive: str, folder: str, limit: int) -> None:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        _check_names((member.filename for member in members), archive)
        locked = next((member for member in members if member.flag_bits & ENCRYPTED), None)
        if locked is not None:
            raise _refuse(archive, f"needs a password for {locked.filename!r}", "unpack it by hand")
        size = sum(member.file_size + MEMBER_BYTES for member in members)
        # zipfile reads no more of a member than the size that is stated.
        _check_size(size, len(members), limit, archive)
        _check_space(size, folder)
        with _moved_when_complete(folder) as partial:
            zipped.extractall(partial)


class _Bounded:
    """Reads the decompressed bytes of a tar file up to a limit, which a small file can exceed without end."""

    def __init__(self, stream: IO[bytes], archive: str, limit: int) -> None:
        self.stream, self.archive, self.limit = stream, archive, limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER_BYTES:
            raise _refuse(self.archive, "has a header of many megabytes", "download the file again")
        content = self.stream.read(size)
        if self.stream.tell() > self.limit:
            _check_size(self.stream.tell(), 0, self.limit, self.archive)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        # Seeking forward in a compressed stream reads all that it skips.
        if whence == os.SEEK_SET and offset > self.limit + MOST_BYTES:
            _check_size(offset, 0, self.limit, self.archive)
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()


@contextmanager
def _open_tar(archive: str, limit: int) -> Iterator[tarfile.TarFile]:
    with open(archive, "rb") as file:
        start = file.read(6)
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((function for magic, function in openers.items() if start.startswith(magic)), open)
    # Padding and headers come on top of the members' sizes.
    with (
        opener(archive, "rb") as stream,
        tarfile.open(fileobj=cast(IO[bytes], _Bounded(stream, archive, 2 * limit + MOST_BYTES)), mode="r:") as tar,
    ):
        yield tar


def _extract_tar(archive: str, folder: str, limit: int) -> None:
    with _open_tar(archive, limit) as tar:
        size = 0
        for number, member in enumerate(tar, 1):
            _check_names([member.name], archive)
            # A path can leave its folder through a link, and data sets need no devices.
            if not (member.isfile() or member.isdir()):
                raise _refuse(
                    archive,
                    f"has a member {member.name!r} that is neither a file nor a folder",
                    "unpack it by hand if you trust it",
                )
            size += member.size + MEMBER_BYTES
            _check_size(size, number, limit, archive)
        _check_space(size, folder)
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


def extract_archive(archive: str, folder: str, limit: int | None = None) -> None:
    """Extract a .zip, .tar, .tar.gz or .tgz into ``folder``; the content decides if the name has no known suffix.

    Args:
        archive: the file.
        folder: where its content goes. A file in it with the same name is replaced.
        limit: bytes that the content may have; by default MOST_BYTES and MOST_TIMES the archive's own.

    Raises:
        ValueError: the file is not such an archive, is damaged, encrypted or larger than ``limit``, or has a member
            that is a link, a device, too deep or outside ``folder``. Nothing is extracted then.
        OSError: it cannot be read, or there is no space for it (ENOSPC).
    """
    folder = folder or "."
    if osp.lexists(folder) and not osp.isdir(folder):
        raise ValueError(f"{folder} is not a folder; move it away")
    if osp.lexists(archive) and not osp.isfile(archive):
        raise ValueError(f"{archive} is not a file; move it away and download the archive again")
    try:
        kind = _kind(archive)
        if not kind:
            raise _Refused(f"{osp.basename(archive)} is not an archive of a known type (.zip, .tar, .tar.gz, .tgz)")
        extract = _extract_zip if kind == "zip" else _extract_tar
        extract(archive, folder, MOST_BYTES + MOST_TIMES * osp.getsize(archive) if limit is None else limit)
    except _Refused:
        raise
    except NotImplementedError as error:  # of zipfile
        raise _refuse(
            archive, f"is compressed in a way that Python does not read ({error})", "unpack it by hand"
        ) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:  # of members below a file
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error  # of gzip and bz2
    except Exception as error:  # a damaged file raises errors of many kinds, struct.error and RecursionError among them
        raise _damaged(archive, error) from error


def _damaged(archive: str, error: Exception) -> ValueError:
    reason = str(error) or type(error).__name__
    return ValueError(f"Archive {archive} is damaged ({reason}); delete it and download it again")
