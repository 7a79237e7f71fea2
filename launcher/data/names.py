"""What a name means to prepare.sh, check.sh and show.sh: the sources or tasks behind it, each readable by itself.

A name is what scripts/softcpt/main.sh takes: a source, a collection of sources, a collection declared in YAML, garden8.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The repository first: this folder bears the name of its package `datasets`.
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from scripts.launch_words import OneLineParser, find_config, usable_folder  # noqa: E402

from common.errors import InputError  # noqa: E402


@dataclass(frozen=True)
class Item:
    """A source, or a task of a collection that has none: ``read`` gives its tasks or raises InputError."""

    name: str
    read: Callable[[], list]
    source: type | None = None


def make_parser(command: str, about: str, examples: Sequence[str]) -> OneLineParser:
    """The parser of a command with the arguments that all three have."""
    import argparse

    script = f"bash scripts/datasets/{command}.sh"
    parser = OneLineParser(
        prog=script,
        description=about,
        epilog="examples:\n" + "\n".join(f"  {script} {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", help="a name in configs/datasets or configs/collections, or a .yaml file")
    parser.add_argument("--data", metavar="DIR", default=ROOT / "data", help="where the images are; default: data")
    return parser


def find_items(name: str, data: str | Path) -> tuple[str, Path, list[Item]]:
    """The name without folder and suffix, the data root, and what the name stands for, in order.

    Raises:
        InputError: there is no such name, or its file says something impossible.
    """
    file, root = (
        find_config(name, ["configs/datasets", "configs/collections"], "Dataset"),
        usable_folder(data, "--data"),
    )
    import train  # with PyTorch behind it, so after a misspelt name is told

    args = ["--dataset-config-file", str(file), "--root", str(root), "--trainer", "ZeroshotCLIP"]
    cfg = train.setup_cfg(train.parse_args(args))
    return file.stem, root, items_of(train.DATASET_REGISTRY.get(cfg.DATASET.NAME), cfg, root)


def items_of(kind: type, cfg, root: Path) -> list[Item]:
    """What a registered data set consists of."""
    from datasets.declared import FolderCollection
    from datasets.source import Part, Source, SourceCollection

    if issubclass(kind, (Source, SourceCollection)):
        parts = kind.parts if issubclass(kind, SourceCollection) else [Part(kind)]
        return [Item(p.source.name(), lambda p=p: p.tasks(root), p.source) for p in parts]
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
    return [Item(name, lambda k=k: k.read_tasks(k.__new__(k), cfg, root)) for name, k in kinds]


def run(main: Callable[[list[str]], int], argv: Sequence[str] | None) -> int:
    """A command's exit status: its own, 2 for bad input (told in one line), 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without some letter must not end the command
            stream.reconfigure(errors="replace")
    try:
        return main(list(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        print(" ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from where it was.", file=sys.stderr)
        return 130
