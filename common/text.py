"""Small pieces of text that many messages need."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "shot"), counted(1200, "shot"), counted(2, "class", "classes")
    ('1 shot', '1,200 shots', '2 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names, and how many others there are.

    >>> some(["rose", "tulip"]), some("abcde")
    ('rose, tulip', 'a, b, c and 2 others')
    """
    listed = list(names)
    others = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {counted(others, 'other')}" if others > 0 else "")


def one_line(error: object) -> str:
    """A message without line breaks or runs of spaces."""
    return " ".join(str(error).split())


def wrapped(text: str, columns: int) -> list[str]:
    """``text`` in lines of at most ``columns`` characters."""
    return textwrap.wrap(text, columns)
