"""Bad input, told in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from common.text import one_line, printable

FULL = (errno.ENOSPC, errno.EDQUOT)  # a full disk, a quota that is used up


class InputError(Exception):
    """Something the user gave cannot be used; the message is one line saying what, where, and what to do.

    Entry points print the message alone, without a traceback, and exit with status 2. Names in it come from files and
    folders, so control characters are left out.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class Busy(InputError):
    """Another process is doing just what was asked for; it will be done without this one."""


class DiskFull(InputError):
    """There is no space left; every other write would fail as well."""


def of_system(error: OSError, place: Path | str) -> InputError:
    """The line for an error of the operating system; ``place`` is where, if the error does not say so itself."""
    where = error.filename if isinstance(error.filename, str) else place
    if error.errno in FULL:
        return DiskFull(f"There is no space left on {where}; free some, and call the same command again.")
    return InputError(f"{where}: {one_line(error.strerror or error)}.")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name`` (case ignored), or None when none comes close."""
    by_lower = {k.lower(): k for k in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    """The error for a name that is not among ``known``, e.g. ``unknown("Dataset", "plnt6", [...])``.

    >>> str(unknown("Dataset", "plnt6", ["plant6", "rs8"]))
    "Dataset 'plnt6' is unknown; did you mean 'plant6'? Known: plant6, rs8."
    """
    names = sorted(known)
    guess = nearest(name, names)
    hint = f"; did you mean '{guess}'?" if guess else "."
    listed = f" Known: {', '.join(names)}." if names else ""
    place = f" in {where}" if where else ""
    return InputError(f"{kind} '{name}' is unknown{place}{hint}{listed}")
