"""--from: what training starts from, a run or a classifier for each seed. Standard library only."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from launcher import frame, trained

FROM = "MODEL.FROM"  # the setting that --from makes


@dataclass(frozen=True)
class Start:
    """What training starts from: its ``name`` in the folders of runs, and a run or classifier for each seed."""

    name: str
    folders: dict[int, Path]


def add_argument(parser: frame.OneLineParser) -> None:
    """The flag --from."""
    parser.add_argument(
        "--from",
        metavar="FOLDER",
        dest="start",
        help="start from what a run or classifier learned; tasks and classes match by name, and seeds by number",
    )


def read(args: argparse.Namespace, seeds: Sequence[int], output: Path) -> Start | None:
    """Where training starts from; None without --from, which some commands do not have.

    Raises:
        InputError: it is not a finished run, a classifier, or a folder of runs; or it lacks a seed.
    """
    words = getattr(args, "start", None)
    if words is None:
        return None
    folder = frame.path(words).absolute()
    if not trained.folders_in(folder):
        raise InputError(f"--from {words} is neither a finished run nor a classifier; give the folder of one.")
    if trained.is_classifier(folder):
        folders = dict.fromkeys(seeds, folder)
        known = list(seeds) if trained.is_run(folder) else trained.seeds_of(folder) or list(seeds)
    else:
        folders = dict(trained.seeds_in(folder))
        known = list(folders)
    missing = [seed for seed in seeds if seed not in known]
    if missing:
        listed = ", ".join(map(str, known))
        raise InputError(f"--from {words} has no seed {missing[0]}; --seeds takes some of {listed}.")
    folders = {seed: folders[seed] for seed in seeds}
    for path in dict.fromkeys(folders.values()):
        if trained.is_run(path):
            trained.finished(path)
    inside = folder.is_relative_to(output)
    return Start(str(folder.relative_to(output) if inside else folder), folders)


def in_names(start: Start | None) -> list[tuple[str, str]]:
    """What the name of a run's folder says of where its training starts."""
    return [] if start is None else [("from", start.name)]


def settings(start: Start | None, seed: int) -> list[tuple[str, str]]:
    """The setting that makes a seed's run start there."""
    return [] if start is None else [(FROM, str(start.folders[seed]))]


def source_in(pairs: Sequence[tuple[str, str]]) -> Path | None:
    """The run or classifier that settings name, see `settings`."""
    return next((Path(value) for key, value in pairs if key == FROM), None)
