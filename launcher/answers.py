"""Where a classifier's answers go: a table on a terminal, CSV, JSON, copies in a folder per class.

Standard library only. Every writer takes one photograph at a time and keeps none of them.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from common.files import replacing
from common.text import NOT_SURE, columns_of, counted, one_line, printable, shortened
from reporting.export import plain_cell

CSV_FIELDS = ("photo", "task", "rank", "class", "probability")
DIGITS = 6  # of a probability in a file
PERCENT = len("100.0%")
NAME_BYTES, SUFFIX_BYTES = 200, 30  # of a copy's name; file systems take 255 for both together
GAP = "  "


@dataclass(frozen=True)
class Answer:
    """What a classifier says to one task of a photograph.

    ``ranked`` has the most probable classes with their probabilities, best first; ``sure`` is False if the first is
    below the confidence that was asked for.
    """

    task: str
    ranked: Sequence[tuple[str, float]]
    sure: bool = True

    def shown(self) -> Sequence[tuple[str, float]]:
        """The classes to show, or one line "not sure" with the probability of the best."""
        return self.ranked if self.sure else [(NOT_SURE, self.ranked[0][1])]


class Writer(Protocol):
    """Takes the answers to each photograph, or the reason why it cannot be read."""

    def answered(self, photo: str, answers: Sequence[Answer]) -> None: ...
    def failed(self, photo: str, reason: str) -> None: ...


def clean(text: str) -> str:
    """``text`` in one line, without control characters."""
    return printable(text).replace("\n", " ")


def padded(text: str, columns: int) -> str:
    """``text`` with spaces up to a width in terminal columns."""
    return text + " " * (columns - columns_of(text))


# -- on a terminal --


class Table:
    """One line a photograph: its path, and the class and confidence of every task.

    Widths are known before the first photograph, so that lines can be printed as they come.
    """

    def __init__(self, out: TextIO, photos: Iterable[str], tasks: Sequence[tuple[str, Sequence[str]]]):
        """``tasks`` are (name, class names)."""
        self.out = out
        self.photo = max([len("photo"), *(columns_of(clean(photo)) for photo in photos)])
        names = [clean(name) for name, _ in tasks]
        longest = [max(columns_of(clean(word)) for word in (*classes, NOT_SURE)) for _, classes in tasks]
        self.classes = [max(c, columns_of(n) - PERCENT - 1) for c, n in zip(longest, names, strict=True)]
        self.head = GAP.join(
            [padded("photo", self.photo), *map(padded, names, [c + 1 + PERCENT for c in self.classes])]
        )

    @property
    def width(self) -> int:
        """Width of a line in terminal columns."""
        return columns_of(self.head)

    def begin(self) -> None:
        """Print the heading."""
        print(f"{self.head.rstrip()}\n{'-' * self.width}", file=self.out)

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        cells = [padded(clean(photo), self.photo)]
        for answer, width in zip(answers, self.classes, strict=True):
            name, probability = answer.shown()[0]
            cells.append(f"{padded(clean(name), width)} {probability:{PERCENT}.1%}")
        print(GAP.join(cells), file=self.out)

    def failed(self, photo: str, reason: str) -> None:
        """Failures are listed at the end."""


class Blocks:
    """For narrow terminals and several classes: the path, and below it a line for every task and class."""

    def __init__(self, out: TextIO, tasks: Sequence[tuple[str, Sequence[str]]]):
        self.out = out
        self.task = max(columns_of(clean(name)) for name, _ in tasks)
        self.classes = max(columns_of(clean(word)) for _, classes in tasks for word in (*classes, NOT_SURE))

    def begin(self) -> None:
        """There is no heading."""

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        print(clean(photo), file=self.out)
        for answer in answers:
            for rank, (name, probability) in enumerate(answer.shown()):
                task = padded(clean(answer.task) if rank == 0 else "", self.task)
                line = GAP.join(["", task, padded(clean(name), self.classes)])
                print(f"{line} {probability:{PERCENT}.1%}", file=self.out)

    def failed(self, photo: str, reason: str) -> None:
        """Failures are listed at the end."""


class Apart:
    """A table for each task, with its name above, when all photographs are done."""

    def __init__(self, out: TextIO, writers: Sequence[tuple[str, Table | Blocks]]):
        """``writers`` are (task, its writer), which write to ``out``."""
        self.out, self.writers = out, writers
        self.rows: list[tuple[str, Sequence[Answer]]] = []

    def __enter__(self) -> Apart:
        return self

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        self.rows.append((photo, answers))

    def failed(self, photo: str, reason: str) -> None:
        """Failures are listed at the end."""

    def __exit__(self, kind: object, *_: object) -> None:
        for number, (name, writer) in enumerate(self.writers if kind is None else ()):
            print(f"{chr(10) * (number > 0)}{clean(name)}", file=self.out)
            writer.begin()
            for photo, answers in self.rows:
                writer.answered(photo, answers[number : number + 1])


# -- for programs --


class Json:
    """An object a line: {"photo": .., "tasks": {<task>: [{"class": .., "probability": ..}, ..]}}, best class first.

    A class is null where the classifier is not sure; a photograph that cannot be read has "error" instead of "tasks".
    """

    def __init__(self, out: TextIO):
        self.out = out

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        tasks = {
            answer.task: [
                {"class": name if answer.sure else None, "probability": round(probability, DIGITS)}
                for name, probability in answer.shown()
            ]
            for answer in answers
        }
        print(json.dumps({"photo": photo, "tasks": tasks}), file=self.out)

    def failed(self, photo: str, reason: str) -> None:
        print(json.dumps({"photo": photo, "error": one_line(reason)}), file=self.out)


class Csv:
    """A line for every photograph, task and rank."""

    def __init__(self, out: TextIO):
        self.writer = csv.writer(out, lineterminator="\n")
        self.writer.writerow(CSV_FIELDS)
        self.lines = 0

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        for answer in answers:
            for rank, (name, probability) in enumerate(answer.shown(), start=1):
                words = [quoted(photo), quoted(answer.task), rank, quoted(name), f"{probability:.{DIGITS}f}"]
                self.writer.writerow(words)
                self.lines += 1

    def failed(self, photo: str, reason: str) -> None:
        """A file of answers has no line for it."""


class CsvApart:
    """A CSV file for each task; ``files`` are theirs, in the order of the tasks."""

    def __init__(self, files: Sequence[Csv]):
        self.files = files

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        for file, answer in zip(self.files, answers, strict=True):
            file.answered(photo, [answer])

    def failed(self, photo: str, reason: str) -> None:
        """A file of answers has no line for it."""


def files_apart(path: Path, tasks: Iterable[str]) -> list[Path]:
    """The CSV file of each task beside ``path``: answers.csv and a task "leaf shape" give "answers leaf shape.csv"."""
    names = folder_names(tasks)
    return [path.with_name(f"{path.stem} {names[task]}{path.suffix}") for task in tasks]


def quoted(text: str) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return plain_cell(clean(text))


@contextmanager
def csv_file(path: Path) -> Iterator[Csv]:
    """A CSV file that takes the place of ``path`` when all photographs are done, and leaves nothing otherwise."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="surrogateescape") as out:
        yield Csv(out)


# -- copies --


class Copies:
    """Copies every photograph into a folder named after the class of the only task.

    A copy never takes the place of a file: names that are taken get a number. Where the classifier is not sure, the
    folder is "not sure".
    """

    def __init__(self, folder: Path, classes: Sequence[str]):
        self.folder = folder
        self.names = folder_names([*classes, NOT_SURE])
        self.counts: Counter[str] = Counter()

    def answered(self, photo: str, answers: Sequence[Answer]) -> None:
        (answer,) = answers
        name = self.names[answer.shown()[0][0]]
        copy_into(Path(photo), self.folder / name)
        self.counts[name] += 1

    def failed(self, photo: str, reason: str) -> None:
        """Nothing is copied."""

    def summary(self) -> str:
        """How many copies are where, in a line."""
        listed = ", ".join(f"{clean(name)} {count:,}" for name, count in self.counts.most_common())
        return f"{counted(self.counts.total(), 'copy', 'copies')} in {self.folder}" + (f": {listed}" if listed else "")


def folder_names(classes: Iterable[str]) -> dict[str, str]:
    """A folder's name for every class: without slashes and the like, and different even where case is ignored."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for word in dict.fromkeys(classes):
        plain = re.sub(r'[/\\:*?"<>|]', "_", clean(word)).strip(" .")
        plain = shortened(plain, NAME_BYTES) or "_"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        names[word] = name
    return names


def copy_into(photo: Path, folder: Path) -> Path:
    """Copy a photograph into a folder, under a name that nothing there has; returns the copy's path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = shortened(photo.stem, NAME_BYTES), shortened(photo.suffix, SUFFIX_BYTES)
    temporary = folder / f".{stem}.{os.getpid()}"
    try:
        shutil.copy2(photo, temporary)
        for number in itertools.count(1):
            target = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
            with suppress(FileExistsError):
                os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # no other process can take the name
                break
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target
