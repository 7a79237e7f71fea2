"""Features of frozen towers, computed once and stored on disk.

An entry is one file: a header (shape, dtype, key, checksum of the rows, all under a checksum of its own) and the raw
rows, which are memory-mapped for reading. Its name is a hash of its key, and the header holds another one. Keys contain
content hashes of the tower's weights and of the image files, not just names, so an entry is only found if the same
weights, files and library versions would compute it again. Files are written under a temporary name and renamed, so two
writers do not interfere and a killed writer leaves no incomplete entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import FULL, of_system
from common.files import SEAL, is_regular, parse_json, sealed, unsealed
from prompting.file_digests import FileDigests as FileDigests

HEADER_BYTES = 4096
SUFFIX = ".features"
DTYPES = tuple(np.dtype(name).str for name in ("float16", "float32", "float64"))


class OutOfDate(ValueError):
    """An entry of an earlier version, whose header had no checksum."""


class FeatureBank:
    """A folder of feature tables. Above its size limit, the least recently used are removed.

    Args:
        folder: created on the first write. If it cannot be written, tables are just not stored.
        limit_bytes: the largest total size of all entries.
    """

    def __init__(self, folder: Path | str, limit_bytes: int = 20 << 30):
        self.folder, self.limit_bytes = Path(folder), limit_bytes
        self._reported = False  # that it cannot be written
        self._verified: dict[Path, int] = {}  # entry -> modification time when its rows were compared with the checksum

    def path_of(self, key: dict[str, Any]) -> Path:
        """Return the file of an entry; ``key`` is JSON-like."""
        return self.folder / f"{_hash(key)[:40]}{SUFFIX}"

    def keeps(self, size: int) -> bool:
        """Return whether a table of ``size`` bytes can be stored, as far as can be told before it is written."""
        place = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        return size + HEADER_BYTES <= self.limit_bytes and place.is_dir() and os.access(place, os.W_OK)

    def get(self, key: dict[str, Any], compute: Callable[[], Tensor]) -> Tensor:
        """Read the table of a key, or compute and store it if it is missing or damaged (see `read` and `put`)."""
        table = self.read(key)
        return self.put(key, compute()) if table is None else table

    def put(self, key: dict[str, Any], table: Tensor) -> Tensor:
        """Store a (rows, d) table; returns it, memory-mapped if possible.

        The JSON-like key must contain everything that the table depends on. A table that cannot be written is returned
        unchanged, and a message is printed.

        Raises:
            InputError: there is no space left, so checkpoints could not be written either.
        """
        table = table.detach().cpu().contiguous()
        try:
            self._write(self.path_of(key), key, table.numpy())
        except OSError as error:
            if error.errno in FULL:
                raise of_system(error, self.folder) from None
            if not self._reported:
                print(f"Features are not stored: cannot write to {self.folder} ({error.strerror or error}).")
            self._reported = True
            return table
        self.shrink(keep=self.path_of(key))
        stored = self.read(key)
        return table if stored is None else stored

    def read(self, key: dict[str, Any]) -> Tensor | None:
        """Return the (rows, d) table of a key, or None if there is none.

        The table is memory-mapped, which takes a file descriptor for as long as it is in use; writing to it does not
        change the file. A damaged file is removed, but not one that cannot be opened.
        """
        path = self.path_of(key)
        try:
            if not is_regular(path):
                return None
            with open(path, "rb") as file:
                header = _header(file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size, key)
            table: np.memmap = np.memmap(path, header["dtype"], "c", HEADER_BYTES, tuple(header["shape"]))
            if self._verified.get(path) != path.stat().st_mtime_ns:
                if zlib.crc32(table.data) != header["crc32"]:
                    raise ValueError("checksum")
            with contextlib.suppress(OSError):  # a bank may be read-only
                os.utime(path)  # marks the entry as recently used
            self._verified[path] = path.stat().st_mtime_ns
            return torch.from_numpy(table)
        except OSError:
            return None
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            what = "was written by an earlier version" if isinstance(error, OutOfDate) else "is damaged"
            print(f"Feature table {path} {what}; computing it again.")
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def _write(self, path: Path, key: dict[str, Any], table: np.ndarray) -> None:
        header = {"shape": list(table.shape), "dtype": table.dtype.str, "crc32": zlib.crc32(table.data)}
        header |= {"key_hash": _hash(key)}
        text = json.dumps(sealed({**header, "key": key})).encode()
        if len(text) > HEADER_BYTES:  # the key itself is only for human readers
            text = json.dumps(sealed({**header, "key": "(long)"})).encode()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".writing-{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb") as file:
                file.write(text.ljust(HEADER_BYTES, b"\0"))
                file.write(table.data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def entries(self) -> list[tuple[Path, int, float]]:
        """Return (file, bytes, time of last use) of every entry, least recently used first."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # another process may be shrinking the bank
                stat = path.stat()
                found.append((path, stat.st_size, stat.st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    def _remove_leftovers(self) -> None:
        """Remove temporary files of killed writers after a day."""
        for path in self.folder.glob(".writing-*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 86400:
                    path.unlink()

    def shrink(self, limit_bytes: int | None = None, keep: Path | None = None) -> int:
        """Remove the least recently used entries until the others fit the limit; returns the number of bytes freed."""
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        self._remove_leftovers()
        entries = self.entries()
        total, freed = sum(size for _, size, _ in entries), 0
        for path, size, _ in entries:
            if total - freed <= limit:
                break
            if path != keep:
                with contextlib.suppress(OSError):
                    path.unlink()
                    freed += size
        return freed


def tower_digest(module: nn.Module, printed: bool = True) -> str:
    """Return a hash of a frozen module's structure, and of its weights and buffers with their names and dtypes.

    Without ``printed``, the structure is left out as PyTorch prints it, which depends on the versions of packages.
    """
    heads = [m.num_heads for m in module.modules() if isinstance(getattr(m, "num_heads", None), int)]
    digest = hashlib.blake2b(f"{module!r}{heads}".encode() if printed else f"{heads}".encode(), digest_size=20)
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _hash(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _header(start: bytes, size: int, key: dict[str, Any]) -> dict[str, Any]:
    """Return an entry's header; ValueError if it is damaged, is another key's or does not fit the file's ``size``."""
    found = parse_json(start.rstrip(b"\0").decode())
    if isinstance(found, dict) and SEAL not in found and "crc32" in found:
        raise OutOfDate
    header = unsealed(found)
    shape, dtype = header["shape"], header["dtype"]
    if header["key_hash"] != _hash(key):
        raise ValueError("key")
    if not shape or dtype not in DTYPES or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("shape or dtype")
    if size != HEADER_BYTES + math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError("size")
    return header
