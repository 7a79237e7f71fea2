"""Files that are there whole or not at all, and that are read back only if they are what was written.

Only regular files are opened: a named pipe, a socket or a device would block a reader for ever. Text and JSON that
could be anybody's are read up to a size.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEXT_BYTES = 256 << 20  # larger than any list of images; ImageNet-21k's has 13 million lines of 20 bytes
SEAL = "sha256"


class NotAFile(OSError):
    """The path is not a regular file but a named pipe, socket, device or the like."""


def read_bytes(path: Path | str, limit: int = TEXT_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        NotAFile: it is something else, which is not opened.
        OSError: it cannot be read, or has more than ``limit`` bytes.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        mode, size = found.st_mode, found.st_size
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "it is a folder", str(path))
        if not stat.S_ISREG(mode):
            raise NotAFile(22, "it is not a regular file", str(path))
        # As much as there is, since a read reserves what it asks for; a file may also grow, or say that it is empty.
        content = file.read(min(size, limit) + 1)
        content += file.read(limit + 1 - len(content)) if len(content) > size else b""
    if len(content) > limit:
        raise OSError(27, f"it has more than {limit:,} bytes", str(path))
    return content


def read_text(path: Path | str, limit: int = TEXT_BYTES) -> str:
    """Return the text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: see `read_bytes`. UnicodeDecodeError, a ValueError: it is not UTF-8.
    """
    return read_bytes(path, limit).decode("utf-8-sig")


def parse_json(text: str) -> Any:
    """Parse JSON; ValueError if it is not JSON, nested too deeply or has numbers that JSON does not have."""
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def read_json(path: Path | str, limit: int = TEXT_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: it cannot be read. ValueError: it is not JSON in UTF-8, see `parse_json`.
    """
    return parse_json(read_text(path, limit))


def is_regular(path: Path | str) -> bool:
    """True for a regular file, or a link to one; never blocks."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def digest(path: Path) -> str | None:
    """A hash of a file's content; None if there is no file."""
    if not is_regular(path):
        return None
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 22):
            found.update(part)
    return found.hexdigest()[:16]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to: what is written there takes the place of ``path`` at the end.

    A killed writer leaves nothing half-written, two writers do no harm, and after an error nothing is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# -- records: JSON objects that are read back --


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a hash of its whole content, so that a reader notices a changed byte."""
    return {**record, SEAL: _hash(record)}


def unsealed(record: Any) -> dict[str, Any]:
    """The content of a sealed record; ValueError if it is not one, or was changed."""
    if not isinstance(record, dict) or SEAL not in record:
        raise ValueError("it has no checksum")
    content = {key: value for key, value in record.items() if key != SEAL}
    if _hash(content) != record[SEAL]:
        raise ValueError("its checksum differs")
    return content


def _hash(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_record(path: Path, record: dict[str, Any], indent: int = 1) -> None:
    """Write a sealed record; see `read_record`."""
    write_atomically(path, json.dumps(sealed(record), indent=indent) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Return the content of a sealed record.

    Raises:
        OSError: it cannot be read (FileNotFoundError if there is none). ValueError: it is damaged.
    """
    return unsealed(read_json(path))
