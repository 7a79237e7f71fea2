"""The arguments of a command line, one kind at a time: numbers, KEY VALUE pairs, folders. Standard library only."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from common import catalogue, paths, plugins
from common.errors import InputError
from common.text import shortened
from launcher.frame import OneLineParser

# A run's folder is named by config and settings; file names are limited to 255 bytes.
NAME, NAME_BYTES = 120, 200
WRITTEN = ("--output", "--copy-to", "--to")  # folders that are written to

# Settings that a command sets itself, and how. The keys that choose a method are in the catalogue.
OWN_KEYS = {
    "DATASET.NUM_SHOTS": "the shots after the dataset",
    "DATASET.NAME": "the dataset",
    "DATASET.ROOT": "--data",
    "OUTPUT_DIR": "--output",
    "MODEL.FROM": "--from",
    "RESIDUAL.FIT": "--residual, or the method, such as SoftCPT-R,",
    "MODEL.FROM_DIGEST": "--from",
    "SEED": "--seeds",
    "TRAINER.NAME": "the script",
}


def own_keys() -> dict[str, str]:
    """The settings that cannot follow "--", and what sets them."""
    chosen = {
        key: catalogue.CHOICES[method.command].flag if method.command in catalogue.CHOICES else "the method"
        for method in catalogue.METHODS.values()
        for key, _ in method.keys
    }
    return chosen | OWN_KEYS


def add_places(parser: OneLineParser) -> None:
    """The arguments that every command with runs has: which config, and where everything is."""
    parser.add_argument("--cfg", metavar="NAME", help="a name in configs/trainers, or a .yaml file")
    add_data(parser)
    parser.add_argument("--output", metavar="DIR", default=paths.OUTPUT, help="where runs go; default: output")
    parser.add_argument("--redo", action="store_true", help="run finished runs again, as after a change of pictures")
    add_plugin(parser)


def add_data(parser: OneLineParser) -> None:
    """--data, the folder of the images."""
    parser.add_argument("--data", metavar="DIR", default=paths.DATA, help="where the images are; default: data")


def add_data_of_runs(parser: OneLineParser) -> None:
    """--data of commands that look at finished runs."""
    parser.add_argument(
        "--data", metavar="DIR", type=paths.expanded, help="where the images are; default: where the runs had them"
    )


def add_plugin(parser: OneLineParser) -> None:
    """--plugin, which `named_plugins` reads before anything else."""
    parser.add_argument(
        "--plugin", metavar="FILE", action="append", default=[], help="a Python file with a method; may be repeated"
    )


def add_min_confidence(parser: OneLineParser) -> None:
    """--min-confidence, a `probability`."""
    parser.add_argument(
        "--min-confidence",
        metavar="P",
        default="0",
        help='answer "not sure" if no class has probability P, from 0 to 1',
    )


def before_dashes(argv: Sequence[str]) -> list[str]:
    """A command's own arguments: those before "--"."""
    return list(argv[: argv.index("--")] if "--" in argv else argv)


def after_dashes(argv: Sequence[str]) -> list[str]:
    """The KEY VALUE pairs after "--"."""
    return list(argv[argv.index("--") + 1 :] if "--" in argv else [])


def asks_for_help(argv: Sequence[str]) -> bool:
    """True if a command's own arguments ask for help."""
    own = before_dashes(argv)
    return "-h" in own or "--help" in own


def named_plugins(argv: Sequence[str]) -> list[Path]:
    """Add the plug-ins that a command line names to the environment; returns all."""
    parser = OneLineParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--plugin", action="append", default=[])
    known, _ = parser.parse_known_args(before_dashes(argv))
    return plugins.named(known.plugin)


def whole_numbers(text: str, kind: str, least: int, example: str) -> list[int]:
    """The numbers of a comma-separated list, each once, in the order given."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}", part) and int(part) >= least for part in parts):
        wanted = "positive whole numbers" if least else "whole numbers from 0 on"
        raise InputError(f"{kind} must be {wanted}, such as {example}, and not '{text}'.")
    return list(dict.fromkeys(map(int, parts)))


def whole_number(text: str | None, flag: str, least: int = 1, example: str = "2") -> int | None:
    """The number after a flag, None without one."""
    if text is None:
        return None
    if not (re.fullmatch("[0-9]{1,9}", text) and int(text) >= least):
        raise InputError(f"{flag} must be a whole number from {least} on, such as {example}, and not '{text}'.")
    return int(text)


def number(text: str, flag: str, example: str, least: float = 0.0) -> float:
    """The finite number after a flag."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= least):
        raise InputError(f"{flag} must be a number from {least:g} on, such as {example}, and not '{text}'.")
    return value


def probability(text: str, flag: str) -> float:
    """The probability after a flag."""
    value = number(text, flag, "0.6")
    if value > 1:
        raise InputError(f"{flag} is a probability from 0 to 1, such as 0.6, and not '{text}'.")
    return value


def override_pairs(argv: Sequence[str], own: Mapping[str, str]) -> list[tuple[str, str]]:
    """KEY VALUE pairs; whether the keys exist is checked when the run's settings are loaded.

    ``own`` are the keys that cannot be among them, and what sets these.
    """
    if len(argv) % 2:
        raise InputError(f"Arguments after -- come in pairs, KEY VALUE; the last key, '{argv[-1]}', has no value.")
    pairs = list(zip(argv[::2], argv[1::2], strict=True))
    for key, _ in pairs:
        if key.upper() in own:
            raise InputError(f"{key} cannot follow --: {own[key.upper()]} sets it.")
    return pairs


def folder_name(config: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The config's part of a run's folder. Overridden keys belong to it: runs that differ must not share a folder."""
    plain = "+".join([config, *(f"{key}={value}" for key, value in sorted(pairs))])
    name = re.sub(r"[^\w.+=@,-]", "_", plain)
    if name != plain or len(name) > NAME or len(name.encode()) > NAME_BYTES:
        digest = hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()
        name = f"{shortened(name[:100], NAME_BYTES)}+{digest[:8]}"
    return name


def usable_folder(path: Path | str, flag: str) -> Path:
    """``path`` as an absolute one, checked without touching anything."""
    path = paths.expanded(path).absolute()
    there = next(p for p in [path, *path.parents] if os.path.lexists(p))
    if not os.path.isdir(there):
        kind = "a link that leads nowhere" if os.path.islink(there) and not os.path.exists(there) else "a file"
        raise InputError(f"{flag} {path}: {there} is {kind} and not a folder; give another folder.")
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise InputError(f"{flag} {path}: a name in it is longer than 255 bytes; give another folder.")
    if flag in WRITTEN and not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {path}: {there} is not writable; give another folder.")
    return path


def usable_folders(data: Path | str, output: Path | str) -> tuple[Path, Path]:
    """--data and --output as absolute paths, checked without touching anything."""
    found = usable_folder(data, "--data"), usable_folder(output, "--output")
    if Path(data) != paths.DATA and not os.path.exists(found[0]):  # some data sets would be drawn there
        raise InputError(f"--data {data}: there is no such folder; check its name, or create it.")
    return found
