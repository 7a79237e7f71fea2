"""Questions that a user asks a trained classifier: a task and its classes on a command line. Standard library only."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from common.errors import InputError
from common.files import read_text
from common.text import brief, one_line
from launcher import frame


class Question(NamedTuple):
    """A task that was not trained on, or other classes of one that was."""

    task: str
    classes: tuple[str, ...]
    template: str


def add_question(parser: frame.OneLineParser) -> None:
    """The flags of a `Question`, besides --task."""
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help='the classes of --task, which may be new: "sand,clay"; put a name with a comma in quotes',
    )
    parser.add_argument("--classes-file", metavar="FILE", type=frame.path, help="a file with one class on each line")
    parser.add_argument(
        "--template",
        metavar="TEXT",
        help='the sentence for these classes, in methods that use one; default: "a photo of a {}."',
    )


def read_question(args: argparse.Namespace) -> Question | None:
    """The classes to ask for, None without any; InputError if they cannot be used."""
    if args.classes is not None and args.classes_file is not None:
        raise InputError("--classes and --classes-file do not go together; give one of them.")
    if args.classes is None and args.classes_file is None:
        if args.template is not None:
            raise InputError("--template goes with --classes; it is the sentence for them.")
        return None
    flag = "--classes" if args.classes is not None else "--classes-file"
    if len(args.task) != 1:
        raise InputError(f"{flag} goes with one --task; for example: --task 'soil type' --classes 'sand,clay'.")
    classes = names_in(args.classes) if args.classes is not None else names_in_file(args.classes_file)
    if len(classes) < 2:
        raise InputError(f"{flag} needs at least two names; it has {len(classes)}.")
    seen: set[str] = set()
    for number, name in enumerate(classes, start=1):
        if not name:
            raise InputError(f"{flag}: name {number} of {len(classes):,} is empty; take it out.")
        if name in seen:
            raise InputError(f"{flag} has '{brief(name)}' twice; take one out.")
        seen.add(name)
    (task,) = args.task
    if not task.strip():
        raise InputError("--task is empty; give the task a name.")
    template = args.template or ""
    if template and "{}" not in template:
        raise InputError(f"--template '{brief(template)}' has no {{}}, where the class name goes.")
    return Question(task.strip(), tuple(classes), template)


def names_in(text: str) -> list[str]:
    """The names in a list with commas, in which quotes hold a name with a comma."""
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"--classes cannot be read ({error}); for example: --classes 'sand,clay'.") from None
    if len(rows) > 1:
        raise InputError("--classes must be one line; --classes-file takes a file with one name on each line.")
    return [name.strip() for row in rows for name in row]


def names_in_file(path: Path) -> list[str]:
    """The names in a file, one in a line; empty lines are left out."""
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise InputError(f"--classes-file {path} cannot be read ({one_line(error.strerror or error)}).") from None
    except ValueError:
        raise InputError(f"--classes-file {path} is not text in UTF-8.") from None
    return [line.strip() for line in lines if line.strip()]
