"""Small pieces of text that many messages need."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable

NOT_SURE = "not sure"  # a classifier's answer below the confidence that was asked for

# They reorder what surrounds them, so that a line shows something else than it says.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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


def printable(text: str) -> str:
    """``text`` without control characters, which could move a terminal's cursor or change its colours.

    Line breaks stay, other white space among them becomes a space.

    >>> printable("ro\\x1b[31mse\\tgarden")
    'ro[31mse garden'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\n" or character.isprintable():
        return "" if character in BIDI_CONTROLS else character
    if unicodedata.category(character) not in ("Cc", "Zl", "Zp"):
        return "" if character in BIDI_CONTROLS else character  # such as a joiner, or a no-break space
    return " " if character.isspace() else ""


def one_line(error: object) -> str:
    """A message without line breaks, control characters or runs of spaces."""
    return " ".join(printable(str(error)).split())


def brief(text: str, most: int = 60) -> str:
    """A name in a message: one line, of which only the beginning is shown if it is long.

    >>> brief("rose"), brief("a very long name", 6)
    ('rose', 'a very...')
    """
    line = one_line(text)
    return line if len(line) <= most else f"{line[:most]}..."


def shortened(text: str, most: int) -> str:
    """The beginning of ``text`` that has at most ``most`` bytes in UTF-8: file names are limited to 255.

    >>> shortened("rose", 3), shortened("\\u00e9t\\u00e9", 4)
    ('ros', '\\xe9t')
    """
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def columns_of(text: str) -> int:
    """Width of ``text`` in terminal columns; Chinese characters, for example, are two wide.

    >>> columns_of("rose"), columns_of("\\u96db\\u83ca"), columns_of("e\\u0301")
    (4, 4, 1)
    """
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, columns: int) -> list[str]:
    """``text`` in lines of at most ``columns`` characters."""
    return textwrap.wrap(text, columns)
