"""What a command asks for: its arguments read, checked and made into runs. Standard library only."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import catalogue, configs
from common.catalogue import METHODS, Method
from common.errors import InputError, unknown
from common.paths import BANK
from launcher import arguments, parsers, starts
from reporting.measures import ACCURACY, MEASURES

COMPARE = "compare"


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        method: its name in the catalogue.
        shots: 0 for zero-shot methods, which read no training image.
        folder: of the run.
        dataset_file, config: the config files that were chosen; `files` are all that it reads.
        data, bank: folders of the images and of image features.
        pairs: settings beside those of the method, (KEY, VALUE) as on a command line.
        note: what is special about it, for a reader.
        of: the run whose checkpoint this one evaluates, None if it trains.
    """

    method: str
    shots: int
    seed: int
    folder: Path
    dataset_file: Path
    config: Path
    data: Path
    bank: Path
    pairs: tuple[tuple[str, str], ...] = ()
    note: str = ""
    of: Job | None = None

    @property
    def dataset(self) -> str:
        return self.dataset_file.stem

    @property
    def files(self) -> list[Path]:
        """The config files that it reads."""
        return [*configs.chain(self.dataset_file), *configs.chain(self.config, METHODS[self.method].trainer)]

    @property
    def source(self) -> Path | None:
        """The run or classifier that its training starts from."""
        return starts.source_in(self.pairs)

    def overrides(self) -> list[tuple[str, Any]]:
        """What `runs.config.load_config` merges over the files."""
        shots = [("DATASET.NUM_SHOTS", str(self.shots))] if self.shots and self.of is None else []
        places = [("DATASET.ROOT", self.data), ("OUTPUT_DIR", self.folder), ("SEED", self.seed)]
        return [*places, *shots, ("BANK.DIR", self.bank), *self.pairs]

    def command(self) -> list[str]:
        """The arguments of train.py that ask for the same run."""
        method = METHODS[self.method]
        flags = {"--root": self.data, "--seed": self.seed, "--trainer": method.trainer}
        flags |= {"--dataset-config-file": self.dataset_file, "--config-file": self.config}
        flags |= {"--output-dir": self.folder}
        words = [str(word) for flag in flags.items() for word in flag]
        words += ["DATASET.NUM_SHOTS", str(self.shots)] if self.shots and self.of is None else []
        pairs = [*method.keys, ("BANK.DIR", str(self.bank)), *self.pairs]
        words += [word for pair in pairs for word in pair]
        return words if self.of is None else ["--eval-only", "--model-dir", str(self.of.folder), *words]


@dataclass(frozen=True)
class Comparison:
    """What a comparison has beside its runs: the file for its Markdown, and the method that others are subtracted
    from."""

    report: str
    against: Method | None


@dataclass(frozen=True)
class Plan:
    """All runs of a command. ``shots`` and ``seeds`` are those of the methods that learn; ``left_out`` has a line on
    methods that take no part; ``redo``: run finished runs again."""

    script: str
    dataset: str
    config: str
    methods: list[Method]
    shots: list[int]
    seeds: list[int]
    output: Path
    jobs: list[Job]
    needs_openclip: bool
    comparison: Comparison | None = None
    left_out: tuple[str, ...] = ()
    redo: bool = False
    show: str = ACCURACY.name  # of MEASURES


@dataclass(frozen=True)
class Request:
    """A command's arguments, checked; makes its runs. ``pairs`` are the KEY VALUE pairs after "--", ``configs`` the
    config of each trainer."""

    script: str
    dataset_file: Path
    methods: list[Method]
    shots: list[int]
    seeds: list[int]
    pairs: tuple[tuple[str, str], ...]
    configs: dict[str, Path]
    data: Path
    output: Path
    left_out: tuple[str, ...] = ()
    redo: bool = False
    start: starts.Start | None = None
    show: str = ACCURACY.name

    @property
    def config(self) -> Path:
        return next(iter(self.configs.values()))

    @property
    def part(self) -> str:
        """The config's part of the runs' folders."""
        return arguments.folder_name(self.config.stem, [*self.pairs, *starts.in_names(self.start)])

    def job(
        self,
        method: Method,
        shots: int,
        seed: int,
        keys: Sequence[tuple[str, str]] = (),
        dataset_file: Path | None = None,
        note: str = "",
        of: Job | None = None,
    ) -> Job:
        """One run. ``keys`` are more KEY VALUE pairs; with ``of``, an evaluation of that run's checkpoint, which needs
        no shots and has its folder in that run's folder."""
        config = self.configs.get(method.trainer, self.config)
        dataset_file = dataset_file or self.dataset_file
        # --residual is the method's, and not that of zero-shot CLIP beside it.
        pairs = (*(pair for pair in self.pairs if method.residual or pair != catalogue.RESIDUAL), *keys)
        if of is None:
            part = arguments.folder_name(config.stem, [*pairs, *starts.in_names(self.start)])
            pairs = (*pairs, *starts.settings(self.start, seed))
            folder = self.output / dataset_file.stem / method.name / part / f"{shots}shots" / f"seed{seed}"
        else:
            folder = of.folder / "tested" / arguments.folder_name(dataset_file.stem, keys)
        places = (folder, dataset_file, config, self.data, self.output / BANK)
        return Job(method.name, shots, seed, *places, pairs, note, of)

    def all_jobs(self) -> list[Job]:
        """Every method at every shot count with every seed; zero-shot methods are deterministic and run once."""
        jobs = []
        for method in self.methods:
            for shots in self.shots if method.learns else [0]:
                jobs += [self.job(method, shots, seed) for seed in (self.seeds if method.learns else [1])]
        return jobs

    def needs_openclip(self) -> bool:
        """True if a run's tower is an OpenCLIP model."""
        tower = {key.upper(): value for key, value in self.pairs}.get("MODEL.BACKBONE.NAME")
        return tower.startswith("open_clip:") if tower else any(map(configs.names_openclip, self.configs.values()))

    def fields(self, jobs: list[Job]) -> dict[str, Any]:
        """The fields of a `Plan` with these runs."""
        fields: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("script", "methods", "shots", "seeds", "output", "left_out", "redo", "show")
        }
        more = {"dataset": self.dataset_file.stem, "config": self.part, "needs_openclip": self.needs_openclip()}
        return {**fields, **more, "jobs": jobs}


# -- plans --


def method_plan(command: str, argv: Sequence[str], method: Method | None = None) -> Plan:
    """The runs of a method's command; ``method`` if its name was given, or else its flag chooses."""
    first = method or catalogue.methods_of(command)[0]
    program = first.script if method is None else f"scripts/train.sh {method.name}"
    parser = parsers.method_parser(command, program, choice=method is None)
    args = parser.parse_intermixed_args(arguments.before_dashes(argv))
    chosen = method or (catalogue.chosen(command, args.choice) if command in catalogue.CHOICES else first)
    usage = f"bash {program} {first.examples[0]}"
    request = read_request(args, argv, [chosen], program.split()[0], usage)
    return Plan(**request.fields(request.all_jobs()))


def compare_plan(argv: Sequence[str]) -> Plan:
    """The runs of a comparison; the method to subtract is among its methods."""
    args = parsers.compare_parser().parse_intermixed_args(arguments.before_dashes(argv))
    against = catalogue.named(args.against) if args.against is not None else None
    methods = named_methods(args.methods)
    if against is not None:
        methods = list(dict.fromkeys([*methods, against]))
        if len(methods) == 1:
            raise InputError(
                f"--against {against.name} has nothing to be compared with; --methods names other methods."
            )
    everything = asks_for_all(args.methods)
    usage = f"bash scripts/compare.sh {parsers.COMPARE_EXAMPLES[0]}"
    request = read_request(args, argv, methods, "scripts/compare.sh", usage, several=True, may_lack=everything)
    if against is not None and against not in request.methods:
        find_configs(args.cfg or configs.default_config(request.dataset_file), [against])  # reports what is wrong
    usual = request.methods == named_methods(None)
    chosen = "all" if everything else "" if usual else ",".join(method.name for method in request.methods)
    comparison = Comparison(report_name(request.shots, chosen, request.show), against)
    return Plan(**request.fields(request.all_jobs()), comparison=comparison)


def named_methods(text: str | None) -> list[Method]:
    """The methods of a list with commas, "all" for all, None for the default comparison."""
    if text is None:
        return [method for method in METHODS.values() if method.compared]
    if asks_for_all(text):
        return list(METHODS.values())
    if not all(name.strip() for name in text.split(",")):
        raise InputError(f"--methods '{text}' has an empty name in it; known: all, {', '.join(METHODS)}.")
    return list(dict.fromkeys(map(catalogue.named, text.split(","))))


def asks_for_all(text: str | None) -> bool:
    """True if --methods asks for all methods."""
    return text is not None and "all" in (name.strip().lower() for name in text.split(","))


def report_name(shots: Sequence[int], methods: str, show: str = ACCURACY.name) -> str:
    """The file of a comparison: one with other methods, or of another figure, does not replace the usual one."""
    usual = f"compare_{'-'.join(map(str, shots))}shots"
    other = [("methods", methods)] * bool(methods) + [("show", show)] * (show != ACCURACY.name)
    return arguments.folder_name(usual, other) + ".md"


def find_configs(
    wanted: str, methods: Sequence[Method], may_lack: bool = False
) -> tuple[dict[str, Path], list[Method], tuple[str, ...]]:
    """The config of each method's trainer, the methods that have one, and a line on each trainer that has none.

    Raises:
        InputError: a method has none; with ``may_lack``, only if none of them has one.
    """
    found: dict[str, Path] = {}
    lacking: dict[str, list[str]] = {}
    error: InputError | None = None
    for method in methods:
        try:
            found[method.trainer] = configs.find_config(wanted, method)
        except InputError as reason:
            if not may_lack:
                raise
            error = error or reason
            lacks = f"config '{wanted}' lacks {method.needs}"
            lacks = lacks if wanted in configs.shared() else f"they have no config '{wanted}'"
            lacking.setdefault(lacks, []).append(method.name)
    if not found and error is not None:
        raise error
    lines = [f"Left out, as {lacks}: {', '.join(names)}" for lacks, names in lacking.items()]
    return found, [method for method in methods if method.trainer in found], tuple(lines)


def read_request(
    args: argparse.Namespace,
    argv: Sequence[str],
    methods: list[Method],
    script: str,
    usage: str,
    *,
    several: bool = False,
    may_lack: bool = False,
    sets: dict[str, str] | None = None,
) -> Request:
    """Check the arguments that all commands with runs have.

    Args:
        argv: the whole command line after the command, for the pairs after "--".
        usage: an example of a call, for messages.
        several: more than one number of shots.
        may_lack: methods without a config are left out.
        sets: further keys that the command sets itself, and what sets them.
    """
    pairs = arguments.override_pairs(arguments.after_dashes(argv), arguments.own_keys() | (sets or {}))
    if getattr(args, "residual", False):
        (method,) = map(catalogue.with_residual, methods)
        methods, pairs = [method], pairs + [catalogue.RESIDUAL] * (catalogue.RESIDUAL not in method.keys)
    if args.dataset is None:
        raise InputError(f"Which dataset? For example: {usage}")
    dataset_file = configs.find_dataset(args.dataset)
    shots, seeds = [], []
    if any(method.learns for method in methods):
        if args.shots is None:
            raise InputError(f"How many shots (training images per class)? For example: {usage}")
        shots = arguments.whole_numbers(args.shots, "Shots", 1, "1,2,4,8,16" if several else "4")
        if len(shots) > 1 and not several:
            raise InputError(f"One number of shots, not '{args.shots}'; scripts/compare.sh takes several.")
        seeds = arguments.whole_numbers(args.seeds, "Seeds", 0, "1,2,3")
    wanted = args.cfg or configs.default_config(dataset_file)
    found, methods, left_out = find_configs(wanted, methods, may_lack)
    data, output = arguments.usable_folders(args.data, args.output)
    start = starts.read(args, seeds, output)
    show = getattr(args, "show", ACCURACY.name)  # protocols have tables of their own
    if show not in MEASURES:
        raise unknown("Figure", show, MEASURES)
    places = (tuple(pairs), found, data, output, left_out, args.redo)
    return Request(script, dataset_file, methods, shots, seeds, *places, start, show)
