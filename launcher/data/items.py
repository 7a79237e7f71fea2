"""The sources or tasks of a name on the command lines of prepare.sh, check.sh and show.sh, each readable on its own.

A name is that of a source, a collection of sources, a collection declared in YAML, or garden8.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import configs
from common.errors import InputError
from launcher import arguments, frame
from launcher.commands import ANSWERED

if TYPE_CHECKING:  # it imports dassl
    from datasets.source import Source


@dataclass(frozen=True)
class Item:
    """A source, or a task of a collection that has none: ``read`` gives its tasks or raises InputError."""

    name: str
    read: Callable[[], list[Any]]
    source: type[Source] | None = None


def make_parser(command: str, about: str, examples: Sequence[str]) -> frame.OneLineParser:
    """The parser of a command with the arguments that all three have."""
    script = script_of(command)
    parser = frame.parser(f"bash {script}", about, [f"bash {script} {example}" for example in examples])
    parser.add_argument("name", help="a name in configs/datasets or configs/collections, or a .yaml file")
    arguments.add_data(parser)
    return parser


def read_arguments(parser: frame.OneLineParser, argv: Sequence[str], check: bool) -> argparse.Namespace | int:
    """The arguments of a command; or its exit status if --help was answered, or only a ``check`` was asked for.

    Raises:
        InputError: there is no such name, or the data root is a file.
    """
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_args(argv)
    check_names(args.name, args.data)
    return 0 if check else args


def script_of(command: str) -> str:
    """What a user calls."""
    return f"scripts/datasets/{command}.sh"


def check_names(name: str, data: str | Path) -> tuple[Path, Path]:
    """The file that a name stands for, and the data root; InputError if there is no such name."""
    return configs.find_dataset(name), arguments.usable_folder(data, "--data")


def find_items(name: str, data: str | Path, command: str) -> tuple[str, Path, list[Item]]:
    """The name without folder and suffix, the data root, and the items of the name, in order.

    Raises:
        InputError: there is no such name, or its file cannot be used.
    """
    file, root = check_names(name, data)
    try:
        from dassl.data.datasets import DATASET_REGISTRY

        from runs.config import load_config
    except ModuleNotFoundError as error:
        raise frame.not_installed(error, script_of(command)) from error
    cfg = load_config(file, "ZeroshotCLIP", [("DATASET.ROOT", root)])
    return file.stem, root, items_of(DATASET_REGISTRY.get(cfg.DATASET.NAME), cfg, root)


def items_of(kind: Any, cfg: Any, root: Path) -> list[Item]:
    """The items of a registered data set."""
    from datasets.declared import FolderCollection
    from datasets.source import Part, Source, SourceCollection

    if issubclass(kind, (Source, SourceCollection)):
        parts = kind.parts if issubclass(kind, SourceCollection) else [Part(kind)]
        return [Item(p.source.name(), partial(p.tasks, root), p.source) for p in parts]
    kinds: list[tuple[str, Any]]
    if issubclass(kind, FolderCollection):
        kinds = [
            (task["name"], type(kind.__name__, (kind,), {"declaration": {**kind.declaration, "tasks": [task]}}))
            for task in kind.declaration["tasks"]
        ]
    else:
        kinds = [(kind.__name__, kind)]
    if not hasattr(kind, "read_tasks"):
        raise InputError(f"{kind.__name__} is not one of this project's data sets, whose tasks can be read one by one.")
    # Without __init__, which would draw shots.
    return [Item(name, partial(k.read_tasks, k.__new__(k), cfg, root)) for name, k in kinds]
