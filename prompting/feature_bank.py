"""Features of frozen towers, computed once and stored on disk.

An entry is one file: a header (shape, dtype, key, checksum) and the raw rows, which are memory-mapped for reading. Its
name is a hash of its key. Keys contain content hashes of the tower's weights and of the image files, not just names, so
an entry is only found if the same weights, files and library versions would compute it again. Files are written under
a temporary name and renamed, so two writers do not interfere and a killed writer leaves no incomplete entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HEADER_BYTES = 4096
SUFFIX = ".features"


class FeatureBank:
    """A folder of feature tables. Above its size limit, the least recently used are removed.

    Args:
        folder: created on the first write. If it cannot be written, tables are just not stored.
        limit_bytes: the largest total size of all entries.
    """

    def __init__(self, folder: Path | str, limit_bytes: int = 20 << 30):
        self.folder, self.limit_bytes = Path(folder), limit_bytes
        self._verified: set[tuple[Path, int]] = set()

    def path_of(self, key: dict[str, Any]) -> Path:
        """Return the file of an entry; ``key`` is JSON-like."""
        text = json.dumps(key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}{SUFFIX}"

    def get(self, key: dict[str, Any], compute: Callable[[], Tensor]) -> Tensor:
        """Read the table of a key, or compute and store it if it is missing or damaged (see `read` and `put`)."""
        table = self.read(key)
        return self.put(key, compute()) if table is None else table

    def put(self, key: dict[str, Any], table: Tensor) -> Tensor:
        """Store a (rows, d) table; returns it, memory-mapped if possible.

        The JSON-like key must contain everything that the table depends on. A table that cannot be written is returned
        unchanged, and a message is printed.
        """
        table = table.detach().cpu().contiguous()
        try:
            self._write(self.path_of(key), key, table.numpy())
        except OSError as error:
            print(f"Features are not stored: cannot write to {self.folder} ({error.strerror or error}).")
            return table
        self.shrink(keep=self.path_of(key))
        stored = self.read(key)
        return table if stored is None else stored

    def read(self, key: dict[str, Any]) -> Tensor | None:
        """Return the (rows, d) table of a key, or None if there is none.

        The table is memory-mapped; writing to it does not change the file. A damaged file is removed, but not one that
        cannot be opened.
        """
        path = self.path_of(key)
        try:
            with open(path, "rb") as file:
                header = json.loads(file.read(HEADER_BYTES).rstrip(b"\0"))
            shape, dtype = tuple(header["shape"]), np.dtype(header["dtype"])
            table: np.memmap = np.memmap(path, dtype, mode="c", offset=HEADER_BYTES, shape=shape)
            stamp = (path, path.stat().st_mtime_ns)
            if stamp not in self._verified:
                if zlib.crc32(table.data) != header["crc32"]:
                    raise ValueError("checksum")
            with contextlib.suppress(OSError):  # a bank may be read-only
                os.utime(path)  # marks the entry as recently used
            self._verified.add((path, path.stat().st_mtime_ns))
            return torch.from_numpy(table)
        except OSError:
            return None
        except (ValueError, KeyError, TypeError):
            print(f"Feature table {path} is damaged; computing it again.")
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def _write(self, path: Path, key: dict[str, Any], table: np.ndarray) -> None:
        header = {"shape": table.shape, "dtype": table.dtype.str, "crc32": zlib.crc32(table.data), "key": key}
        text = json.dumps(header).encode()
        if len(text) > HEADER_BYTES:  # the key is only for human readers; the file's name is a hash of all of it
            text = json.dumps({**header, "key": "(long)"}).encode()
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
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


def tower_digest(module: nn.Module) -> str:
    """Return a hash of a frozen module's structure, and of its weights and buffers with their names and dtypes."""
    heads = [m.num_heads for m in module.modules() if isinstance(getattr(m, "num_heads", None), int)]
    digest = hashlib.blake2b(f"{module!r}{heads}".encode(), digest_size=20)
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class FileDigests:
    """Content hashes of files, cached by (path, size, modification time) so that each file is read only once."""

    def __init__(self, folder: Path | str):
        self.path = Path(folder) / "digests.sqlite"

    def of(self, files: Sequence[str]) -> str:
        """Return one hash of the contents of files, in order; raises OSError if one cannot be read."""
        with self._database() as database:
            known = {}
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    rows = database.execute("SELECT path, size, mtime, digest FROM digests")
                    known = {row[:3]: row[3] for row in rows}
            fresh, total = [], hashlib.blake2b(digest_size=20)
            for file in files:
                stat = os.stat(file)
                stamp = (os.path.abspath(file), stat.st_size, stat.st_mtime_ns)
                digest = known.get(stamp)
                if digest is None:
                    with open(file, "rb") as content:
                        digest = hashlib.blake2b(content.read(), digest_size=20).hexdigest()
                    fresh.append((*stamp, digest))
                total.update(digest.encode())
            if fresh and database is not None:
                with contextlib.suppress(sqlite3.Error):  # the cache only saves time
                    database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)", fresh)
                    database.commit()
            return total.hexdigest()

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection | None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.path, timeout=60)
            database.execute(
                "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, size INT, mtime INT, digest TEXT)"
            )
        except (OSError, sqlite3.Error):
            yield None
            return
        try:
            yield database
        finally:
            database.close()
