"""Content hashes of files, and which image files can be decoded, remembered so that each file is read only once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from common.files import NotAFile, is_regular

CREATE = (
    "CREATE TABLE IF NOT EXISTS contents (path TEXT PRIMARY KEY, size INT, mtime INT, digest TEXT, checksum INT)",
    "CREATE TABLE IF NOT EXISTS readable (digest TEXT, reader TEXT, checksum INT, PRIMARY KEY (digest, reader))",
)

KEYS = 500  # in one query; SQLite allowed 999 before 2020


class FileDigests:
    """Content hashes of files, cached by (path, size, modification time).

    Every row of the cache has a checksum; a row that does not fit its own is computed again. The cache only saves time:
    a folder that cannot be written, or a file that is not a database, is ignored.
    """

    def __init__(self, folder: Path | str):
        self.path = Path(folder) / "digests.sqlite"

    def of(self, files: Sequence[str]) -> str:
        """Return one hash of the contents of files, in order; see `each`."""
        return digest_of(self.each(files))

    def each(self, files: Sequence[str]) -> list[str]:
        """Return the hash of each file's content.

        Raises:
            OSError: a file, which the error names, cannot be read or is not a regular file.
        """
        with self._database() as database:
            known, found, fresh = {}, [], []
            paths = [os.path.abspath(file) for file in files]
            for path, size, mtime, digest, checksum in _rows(database, "SELECT * FROM contents WHERE path IN", paths):
                if checksum == _checksum(path, size, mtime, digest):
                    known[(path, size, mtime)] = digest
            for file in files:
                stat = os.stat(file)
                stamp = (os.path.abspath(file), stat.st_size, stat.st_mtime_ns)
                digest = known.get(stamp)
                if digest is None:
                    digest = known[stamp] = _read(file)
                    fresh.append((*stamp, digest, _checksum(*stamp, digest)))
                found.append(digest)
            _insert(database, "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)", fresh)
            return found

    def unread(self, digests: Iterable[str], reader: str) -> set[str]:
        """Return those of some contents that ``reader``, a program and its version, is not known to read."""
        wanted = set(digests)
        with self._database() as database:
            rows = _rows(database, "SELECT * FROM readable WHERE digest IN", sorted(wanted))
            return wanted - {row[0] for row in rows if row[1] == reader and row[2] == _checksum(row[0], row[1])}

    def mark_read(self, digests: Iterable[str], reader: str) -> None:
        """Remember that ``reader`` can read some contents."""
        rows = [(digest, reader, _checksum(digest, reader)) for digest in digests]
        with self._database() as database:
            _insert(database, "INSERT OR REPLACE INTO readable VALUES (?, ?, ?)", rows)

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection | None]:
        database = None
        try:
            if os.path.lexists(self.path) and not is_regular(self.path):
                raise NotAFile(22, "it is not a regular file", str(self.path))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.path, timeout=60)
            for statement in CREATE:
                database.execute(statement)
        except (OSError, sqlite3.Error):
            if database is not None:
                database.close()
            yield None
            return
        try:
            yield database
        finally:
            database.close()


def digest_of(digests: Iterable[str]) -> str:
    """Return one hash of several, in order."""
    total = hashlib.blake2b(digest_size=20)
    for digest in digests:
        total.update(digest.encode())
    return total.hexdigest()


def _read(file: str) -> str:
    """Return the hash of a regular file's content."""
    if not is_regular(file):
        raise NotAFile(22, "it is not a regular file", file)
    with open(file, "rb") as content:
        return hashlib.blake2b(content.read(), digest_size=20).hexdigest()


def _checksum(*values: object) -> int:
    return zlib.crc32("\0".join(map(str, values)).encode("utf-8", "surrogateescape"))


def _rows(database: sqlite3.Connection | None, query: str, keys: Sequence[str]) -> Iterator[tuple]:
    """Yield the rows of a query that ends in IN, by some keys at a time: the table may have millions of rows."""
    if database is None:
        return
    for start in range(0, len(keys), KEYS):
        part = keys[start : start + KEYS]
        with contextlib.suppress(sqlite3.Error, UnicodeError):
            yield from database.execute(f"{query} ({','.join('?' * len(part))})", part).fetchall()


def _insert(database: sqlite3.Connection | None, statement: str, rows: Sequence[tuple]) -> None:
    if rows and database is not None:
        with contextlib.suppress(sqlite3.Error, UnicodeError):
            database.executemany(statement, rows)
            database.commit()
