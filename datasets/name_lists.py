"""Reads ImageNet's lists of class names in the forms that exist: text, JSON or Python literals; by id, by number, or in
order; with or without synonyms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import parse_json, read_text
from common.text import one_line

# A line: a number, an id, another number, a name, with spaces or ":" "," ";" between them and quotes around them.
LINE = re.compile(
    r"""["'\s]*(?:(?P<first>\d+)["']?(?:\s*[:,;.)]\s*|\s+))?["'\s]*"""
    r"""(?:(?P<id>n\d{8})\b["']?(?:\s*[:,;=]\s*|\s+|$))?["'\s]*"""
    r"""(?:(?P<second>\d+)["']?(?:\s*[:,;]\s*|\s+|$))?(?P<name>.*)"""
)
ID = re.compile(r"n\d{8}")
PYTORCH_ID = re.compile(r"(\d{8})-n")  # of the list with WordNet's addresses


@dataclass
class NameList:
    """Class names by id ("n01440764") or, if the list has no ids, in the order of ids.

    ``plain`` is True for lists of an id and one name, as CoOp's classnames.txt is.
    """

    path: Path
    by_id: dict[str, str]
    in_order: list[str]
    plain: bool = False

    def of_ids(self, ids: tuple[str, ...], folder: Path) -> tuple[str, ...]:
        """The names of class folders.

        Raises:
            InputError: an id is not in the list, or a list without ids has another number of names.
        """
        if self.in_order:
            if len(self.in_order) != len(ids):
                raise InputError(
                    f"{self.path} has {len(self.in_order):,} names without ids such as n01440764, but {folder} has "
                    f"{len(ids):,} class folders; use a list with ids, such as CoOp's classnames.txt."
                )
            return tuple(name for _, name in sorted(zip(sorted(ids), self.in_order, strict=True)))
        for key in ids:
            if key not in self.by_id:
                raise InputError(
                    f"{self.path.name} has no name for class '{key}', which has a folder in {folder}; remove it if it "
                    f"is not a class, or fetch {self.path.name} again."
                )
        return tuple(self.by_id[key] for key in ids)


@dataclass
class Entry:
    """One class of a list; ``text`` is its line, for messages."""

    text: str
    id: str
    number: str
    name: str


def read_name_list(path: Path) -> NameList:
    """Read a list of class names.

    Raises:
        InputError: the file cannot be read or has another form; the message says which forms are read.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch the file again.") from None
    structured = text.lstrip()[:1] in ("{", "[", "(")
    try:
        entries = list(_structured(path, text)) if structured else _lines(text)
    except RecursionError:
        raise InputError(f"{path} is nested too deeply for a list of class names; fetch the file again.") from None
    with_id = [entry for entry in entries if entry.id]
    wrong = [entry for entry in entries if not entry.name or (with_id and not entry.id)]
    if wrong or not entries:
        line = f"line '{wrong[0].text}' is" if wrong else "the file is empty,"
        raise InputError(
            f"{path}: {line} not an id and a class name; fetch the file again, or use a list of lines such as "
            "'n01440764 tench' or '0: tench', or imagenet_class_index.json."
        )
    names = [_first_name(entry.name) for entry in entries]
    numbered = any(entry.number for entry in entries)
    plain = not structured and not numbered and names == [entry.name for entry in entries]
    if with_id:
        return NameList(path, {entry.id: name for entry, name in zip(entries, names, strict=True)}, [], plain)
    if numbered:
        numbers = [int(entry.number) for entry in entries]
        if sorted(numbers) != list(range(len(numbers))):
            raise InputError(
                f"{path} numbers its {len(numbers):,} classes from {min(numbers)} to {max(numbers)}, without ids such "
                "as n01440764; numbers must be 0, 1, 2 and so on, because lists from 1 may have another order."
            )
        names = [name for _, name in sorted(zip(numbers, names, strict=True))]
    if names[0].lower() == "background":  # TensorFlow's list of 1,001
        names = names[1:]
    return NameList(path, {}, names)


def _lines(text: str) -> list[Entry]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [match for match in map(LINE.fullmatch, lines) if match]
    ids = [match["id"] or "" for match in found]
    if any(ids[1:]) and not ids[0]:  # a header
        lines, found, ids = lines[1:], found[1:], ids[1:]
    numbered = [bool(match["first"]) for match in found]
    if not any(ids) and len(found) > 2 and all(numbered[1:]) and not numbered[0]:
        lines, found, ids = lines[1:], found[1:], ids[1:]
    # Numbers are a column of the list if every line has one; otherwise they belong to names.
    columns = {part for part in ("first", "second") if all(match[part] for match in found)}
    entries = []
    for line, match, key in zip(lines, found, ids, strict=True):
        before = [match[part] for part in ("first", "second") if match[part] and part not in columns]
        number = next((match[part] for part in ("first", "second") if part in columns), "")
        name = " ".join([*before, match["name"]]).split("\t")[0]
        if not key and (last := ID.search(name, max(0, len(name) - 9))) and last.end() == len(name.rstrip("\"' ,")):
            key, name = last[0], name[: last.start()]
        entries.append(Entry(line, key, number, name.strip(" \"'),;]}")))
    return entries


def _structured(path: Path, text: str) -> Iterator[Entry]:
    try:
        content = parse_json(text)
    except ValueError:
        try:
            content = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise InputError(
                f"{path} is neither JSON nor a Python literal ({one_line(error)}); fetch it again."
            ) from None
    if isinstance(content, dict) and isinstance(content.get("id2label"), dict):  # Hugging Face's config.json
        content = content["id2label"]
    rows = [[k, *_scalars(v)] for k, v in content.items()] if isinstance(content, dict) else map(_scalars, content)
    for row in rows:
        key = number = name = ""
        for value in map(str, row):
            if ID.fullmatch(value) or PYTORCH_ID.fullmatch(value):
                key = key or (f"n{value[:8]}" if value.endswith("-n") else value)
            elif value.isdecimal():
                number = number or value
            elif "://" not in value:
                name = name or value
        yield Entry(str(row), key, number, name)


def _scalars(value: Any) -> list[Any]:
    """The texts and numbers in a nested value, in order."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else None
    return [value] if inner is None else [scalar for part in inner for scalar in _scalars(part)]


def _first_name(name: str) -> str:
    """The first of several synonyms, with spaces for underscores."""
    return " ".join(name.split(",")[0].replace("_", " ").strip(" \"'").split())
