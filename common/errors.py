"""Bad input, told in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Something the user gave cannot be used; the message is one line saying what, where, and what to do.

    Entry points print the message alone, without a traceback, and exit with status 2.
    """


class Busy(InputError):
    """Another process is doing just what was asked for; it will be done without this one."""


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
