"""Finds what was trained, for commands that use it: by dataset and shots, or by folder. Standard library only."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import catalogue, configs, paths
from common.catalogue import METHODS, Method
from common.checkpoints import is_run
from common.errors import InputError, unknown
from common.files import is_regular, read_json
from common.text import counted, some
from launcher import arguments, frame
from runs.results import DamagedRun, Run, RunError, read_run

if TYPE_CHECKING:
    from runs.pictured import Photographs

BUNDLE = paths.CLASSIFIER  # in a run's folder, or in a folder of its own
SEED = re.compile(r"seed([0-9]{1,9})")
NUMBER = re.compile(r"[0-9]{1,9}")
PAIRS = "Arguments after -- are the settings of the runs, as when they were trained: -- KEY VALUE [KEY VALUE ...]"
# The flags that choose among the runs of a dataset.
FLAGS = {"method": "--method", "cfg": "--cfg", "seeds": "--seeds", "output": "--output"}


@dataclass(frozen=True)
class Trained:
    """A classifier on disk.

    Args:
        folders: of finished runs or bundles; several are the seeds of one command.
        name: what it is, in a line.
        config: that of its runs, "" if they are not of one command.
        needs_openclip: its tower is an OpenCLIP model.
    """

    folders: tuple[Path, ...]
    name: str
    config: str
    needs_openclip: bool

    @property
    def about(self) -> str:
        """What it is, with its config: what commands print."""
        return f"{self.name} ({self.config})" if self.config else self.name


@dataclass(frozen=True)
class Wish:
    """The flags that choose among the runs of a dataset, as given; ``pairs`` are the KEY VALUE pairs after "--"."""

    method: str | None = None
    cfg: str | None = None
    seeds: str | None = None
    output: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()

    def given(self) -> list[str]:
        """The flags that a user gave."""
        return [flag for name, flag in FLAGS.items() if getattr(self, name) is not None] + ["--"] * bool(self.pairs)


def add_wish(parser: frame.OneLineParser) -> None:
    """The flags of a `Wish`, --plugin, and what the help says of KEY VALUE pairs."""
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="a method, or a command such as coop; default: softcpt, or what else was trained last",
    )
    parser.add_argument("--cfg", metavar="NAME", help="the runs' config; default: that of the newest finished run")
    parser.add_argument("--seeds", metavar="NUMBERS", help="default: all that are finished")
    parser.add_argument("--output", metavar="DIR", help="where runs go; default: output")
    arguments.add_plugin(parser)
    parser.epilog = f"{PAIRS}\n\n{parser.epilog or ''}"


def asked(args: argparse.Namespace, argv: Sequence[str], usage: str) -> tuple[Trained, list[str]]:
    """What a command line with the flags of `add_wish` names, and its other words.

    Args:
        args: the parsed arguments, with ``words``.
        argv: all arguments; KEY VALUE pairs may follow "--".
        usage: an example of a call.

    Raises:
        InputError: as `find`, or the pairs are wrong.
    """
    pairs = arguments.override_pairs(arguments.after_dashes(argv), arguments.own_keys())
    return find(args.words, Wish(args.method, args.cfg, args.seeds, args.output, tuple(pairs)), usage)


def find(words: Sequence[str], wish: Wish, usage: str) -> tuple[Trained, list[str]]:
    """What the first words of a command line name, and the other words.

    ``<dataset> <shots>`` names the newest finished runs of a method, all seeds; a folder is a run, a bundle, or has the
    runs of several seeds. Several such folders are one classifier.

    Raises:
        InputError: there is none, or it is not finished. ``usage`` is an example of a call.
    """
    if not words:
        raise InputError(f"Which run? For example: {usage}")
    first = frame.path(words[0])
    if folders := folders_in(first):
        count = 1
        # Photographs may lie beside some log.txt, so the folders after the first have to look more like a run's.
        while count < len(words) and is_one_more(frame.path(words[count])):
            folders += folders_in(frame.path(words[count]))
            count += 1
        if wish.given():
            raise InputError(f"{wish.given()[0]} goes with a dataset and shots; {words[0]} is a folder already.")
        return of_folders(list(dict.fromkeys(folders))), list(words[count:])
    named = words[0].endswith((".yaml", ".yml"))
    if os.path.exists(first) and not named and not is_dataset(words[0]):
        raise InputError(f"{first} is not a run or a classifier: it has neither {BUNDLE} nor {paths.RESULTS}.")
    if "/" in words[0] and not named:
        raise InputError(f"There is no folder {first}; name a run's folder, or a dataset and shots: {usage}")
    return of_dataset(words, wish, usage)


def is_dataset(name: str) -> bool:
    """True for the name of a dataset or collection."""
    try:
        return bool(configs.find_dataset(name))
    except InputError:
        return False


# -- by folder --


def folders_in(folder: Path) -> list[Path]:
    """The folder if it is a run's or a bundle; those in it if it has the runs of several seeds; otherwise none."""
    if is_classifier(folder):
        return [folder]
    return [seed for _, seed in seeds_in(folder)]


def is_one_more(folder: Path) -> bool:
    """True for a bundle, and for folders of a run that are named as its command names them."""
    named = SEED.fullmatch(folder.name) is not None and is_run(folder)
    return named or is_regular(folder / BUNDLE) or bool(seeds_in(folder))


def is_classifier(folder: Path) -> bool:
    """True for the folder of a run, finished or not, and for a bundle."""
    return is_regular(folder / BUNDLE) or is_run(folder)


def seeds_in(folder: Path) -> list[tuple[int, Path]]:
    """The runs seed<k> in a folder with their seeds, in the order of the seeds."""
    try:
        found = [(SEED.fullmatch(path.name), path) for path in folder.iterdir()]
    except (OSError, ValueError):
        return []
    return sorted((int(match.group(1)), path) for match, path in found if match and is_run(path))


def of_folders(folders: Sequence[Path]) -> Trained:
    """The classifier of runs or bundles. InputError if one is not finished."""
    runs = [finished(folder) for folder in folders if is_run(folder)]
    name, config = words_of(runs) if len(runs) == len(folders) else (", ".join(map(str, folders)), "")
    return Trained(tuple(folders), name, config, any(map(names_openclip, folders)))


def finished(folder: Path) -> Run:
    """The finished run or evaluation in a folder, which has its classifier. InputError otherwise."""
    try:
        run = read_run(folder, results_in(folder))
    except DamagedRun as error:
        raise InputError(str(error)) from None
    except RunError as error:
        raise InputError(f"{error}; the command that started it continues it.") from None
    if not is_regular(folder / BUNDLE):
        raise InputError(
            f"{folder} has no {BUNDLE}: an earlier version trained it, or a plug-in that writes none; its command with "
            "--redo runs it again."
        )
    return run


def results_in(folder: Path) -> str:
    """The file with the results of a run or an evaluation."""
    evaluated = is_regular(folder / paths.EVALUATION) and not is_regular(folder / paths.RESULTS)
    return paths.EVALUATION if evaluated else paths.RESULTS


def names_openclip(folder: Path) -> bool:
    """True if the tower of a run or bundle is an OpenCLIP model; what is wrong with a bundle is reported later."""
    if is_run(folder):
        return read_run(folder, results_in(folder)).backbone.startswith("open_clip:")
    tower = record_in(folder).get("tower")
    return isinstance(tower, dict) and str(tower.get("name")).startswith("open_clip:")


def seeds_of(folder: Path) -> list[int]:
    """The seeds that a bundle holds side by side; empty if it has one, which serves any."""
    seeds = record_in(folder).get("seeds")
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        return []
    return seeds if len(seeds) > 1 else []


def record_in(folder: Path) -> dict[str, Any]:
    """What a bundle's record says, unchecked; empty if it cannot be read, which is reported when it is used."""
    try:
        record = read_json(folder / BUNDLE)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def words_of(runs: Sequence[Run]) -> tuple[str, str]:
    """Finished runs in a line, those of one command by their seeds, and their config; "" if they are of several."""
    first = runs[0]
    if len({run.folder.parent for run in runs}) > 1:
        return ", ".join(str(run.folder) for run in runs), ""
    seeds = ", ".join(str(run.seed) for run in runs)
    images = "all images" if first.shots < 1 else counted(first.shots, "shot")
    shots = f", {images}, seed{'s' * (len(runs) > 1)} {seeds}" if learns(first) else ""
    variant = f"{first.config}+{first.variant}" if first.variant else first.config
    return f"{first.method} on {first.dataset}{shots}", variant


def learns(run: Run) -> bool:
    """True if a run's method learns from photographs, as far as is known."""
    return run.method not in METHODS or METHODS[run.method].learns


def photographs_of(found: Trained, data: Path | None) -> Photographs:
    """The training photographs of all its runs, each once, and the test photographs of the first.

    Args:
        found: what was trained.
        data: where the data sets are, if not where the runs had them.

    Raises:
        InputError: some of it was saved without its run, or the photographs are not there, or changed.
    """
    from runs.pictured import Photographs, photographs_of

    if not all(map(is_run, found.folders)):
        raise InputError("a classifier that was saved has none")
    several = [photographs_of(folder, data) for folder in found.folders]
    train = dict.fromkeys(one for photographs in several for one in photographs.train)
    return Photographs(list(train), several[0].test)


# -- by dataset and shots --


def of_dataset(words: Sequence[str], wish: Wish, usage: str) -> tuple[Trained, list[str]]:
    """The newest finished runs of a method on a dataset, and the words after dataset and shots."""
    dataset_file = configs.find_dataset(words[0])
    methods = named_methods(wish.method)
    rest = list(words[1:])
    number = rest[0] if rest and NUMBER.fullmatch(rest[0]) else None
    shots = [0]
    if any(method.learns for method in methods):
        if number is None:
            raise InputError(f"How many shots (training images per class)? For example: {usage}")
        shots = arguments.whole_numbers(number, "Shots", 1, "4")
    rest = rest[1:] if number is not None else rest
    seeds = None if wish.seeds is None else arguments.whole_numbers(wish.seeds, "Seeds", 0, "1,2,3")
    output = arguments.usable_folder(wish.output or paths.OUTPUT, "--output") / dataset_file.stem
    part = part_of(wish, dataset_file)
    groups = [
        group
        for method in methods
        for group in (output / method.name).glob(f"*/{shots[0] if method.learns else 0}shots")
        if part is None or group.parent.name == part
    ]
    groups = sorted(filter(when, groups), key=when)
    if not groups and wish.method is None:  # what train.sh chose, or whatever else was trained
        groups = [*output.glob(f"*/{part or '*'}/{shots[0]}shots")]
        groups = sorted(filter(when, groups), key=when)
    if not groups:
        raise nothing_there(methods, dataset_file.stem, shots[0], output, part)
    return of_folders(wanted(groups[-1], seeds)), rest


def named_methods(name: str | None) -> list[Method]:
    """The methods of a command, or the one of that name or label; SoftCPT's without a name."""
    name = "softcpt" if name is None else name
    if name.lower() in catalogue.commands():
        return catalogue.methods_of(name.lower())
    try:
        return [catalogue.named(name)]
    except InputError:
        raise unknown("Method", name, [*catalogue.commands(), *METHODS]) from None


def part_of(wish: Wish, dataset_file: Path) -> str | None:
    """The config's part of the runs' folders, None for any."""
    if wish.cfg is None and not wish.pairs:
        return None
    name = wish.cfg or configs.default_config(dataset_file)
    name = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    return arguments.folder_name(name, wish.pairs) if wish.pairs else name


def when(group: Path) -> int:
    """When the newest finished run of several seeds ended, in nanoseconds; 0 if none is finished."""
    return max((stamp(folder) for _, folder in seeds_in(group)), default=0)


def stamp(folder: Path) -> int:
    """When a run ended, in nanoseconds; 0 if it is not finished."""
    try:
        read_run(folder)
        return (folder / paths.RESULTS).stat().st_mtime_ns
    except (RunError, OSError):
        return 0


def wanted(group: Path, seeds: Sequence[int] | None) -> list[Path]:
    """The folders of these seeds, or of all that are finished. InputError if one of these is not there."""
    there = dict(seeds_in(group))
    if seeds is None:
        return [folder for folder in there.values() if stamp(folder)]
    missing = [seed for seed in seeds if seed not in there]
    if missing:
        known = ", ".join(map(str, there))
        raise InputError(f"{group} has no run with seed {missing[0]}; --seeds takes some of {known}.")
    return [there[seed] for seed in seeds]


def nothing_there(methods: Sequence[Method], dataset: str, shots: int, output: Path, part: str | None) -> InputError:
    """The error for a method without finished runs: how to train it, and what is finished instead."""
    first = methods[0]
    name = first.name if len(methods) == 1 else first.trainer
    of = f"{name} on {dataset}" + (f" with {counted(shots, 'shot')}" if first.learns else "")
    config = f" and config {part}" if part else ""
    others = sorted({path.parent.parent for path in output.glob(f"*/*/*shots/seed*/{paths.RESULTS}")})
    listed = some([f"{path.parts[-3]} {path.parts[-2]} ({path.parts[-1]})" for path in others], 5)
    finished_there = f" Finished: {listed}." if others else ""
    call = f"bash {first.script} {dataset}" + (f" {shots}" if first.learns else "")
    return InputError(f"There are no finished runs of {of}{config} in {output}; {call} trains it.{finished_there}")
