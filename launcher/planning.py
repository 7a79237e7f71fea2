"""What a command of the launcher asks for: its words read, checked and made into runs by the standard library alone."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.launch_methods import (
    ABOUT,
    COMPARED,
    CONTEXTS,
    EXAMPLES,
    METHODS,
    SINGLE,
    TEMPLATES,
    TIP_ADAPTERS,
    VARIANTS,
)

from common.errors import InputError, unknown
from scripts import launch_words as words


@dataclass(frozen=True)
class Job:
    """One run: ``argv`` is what train.run gets, ``files`` the configs that it reads.

    ``shots`` is 0 for zero-shot CLIP, which looks at no training image. ``of`` is the run whose checkpoint this one
    evaluates, None where it trains by itself; ``note`` says what is special about it.
    """

    method: str
    dataset: str
    shots: int
    seed: int
    folder: Path
    argv: list[str]
    files: list[Path]
    note: str = ""
    of: Job | None = None


@dataclass(frozen=True)
class Plan:
    """All that a command asks for. ``shots`` and ``seeds`` are those of the methods that learn.

    A comparison is written to a file called ``report``; ``against`` is the method that others are subtracted from, and
    ``left_out`` says of every method that has no config of the name asked for that it takes no part.
    """

    command: str
    script: str
    dataset: str
    config: str
    methods: list[str]
    shots: list[int]
    seeds: list[int]
    output: Path
    jobs: list[Job]
    needs_openclip: bool
    report: str = ""
    against: str | None = None
    left_out: tuple[str, ...] = ()


def make_parser(command: str) -> words.OneLineParser:
    """The parser of a command's own arguments, those before "--"."""
    script, about = ABOUT[command]
    parser = bare_parser(script, about, [f"bash {script} {example}" for example in EXAMPLES[command]])
    add_arguments(parser, command)
    return parser


def bare_parser(script: str, about: str, examples: Sequence[str]) -> words.OneLineParser:
    """A parser without arguments, whose help tells what every command has in common."""
    listed = "\n".join(f"  {example}" for example in examples)
    return words.OneLineParser(
        prog=f"bash {script}",
        description=textwrap.fill(about + " Finished runs are reported and skipped, interrupted ones go on.", 100),
        epilog=f"What follows -- sets configuration keys: -- KEY VALUE [KEY VALUE ...]\n\nexamples:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_arguments(parser: words.OneLineParser, command: str) -> None:
    """The arguments of a command; of "", those that all have."""
    parser.add_argument("dataset", nargs="?", help="a name in configs/datasets or configs/collections, or a .yaml file")
    if command == "zsclip":
        parser.add_argument("shots", nargs="?", help="has no influence")
        parser.add_argument("--seeds", help="has no influence")
    else:
        more = ", or several: 1,2,4,8,16" if command == "compare" else ""
        parser.add_argument("shots", nargs="?", help="training images per class" + more)
        parser.add_argument("--seeds", default="1,2,3", help="default: 1,2,3")
    if command == "zsclip":
        told = "task: each task's own template (default); imagenet: the mean with seven general ones"
        parser.add_argument("--templates", default="task", help=told)
    if command == "tip_adapter":
        told = "no: Tip-Adapter (default); yes: Tip-Adapter-F, which trains the keys"
        parser.add_argument("--finetune", default="no", help=told)
    if command == "softcpt":
        told = f"{', '.join(VARIANTS)} (SoftCPT*); default: NATA"
        parser.add_argument("--variant", default="NATA", help=told)
    if command == "coop":
        told = "task: a context for every task (default); class: one for every class; shared: one for all tasks"
        parser.add_argument("--context", default="task", help=told)
    if command == "compare":
        told = f"all, or names with commas between them, of {', '.join(METHODS)}; default: {','.join(COMPARED)}"
        parser.add_argument("--methods", metavar="NAMES", help=told)
        told = "a method; prints what the others reach minus what it reaches, task by task, with intervals"
        parser.add_argument("--against", metavar="NAME", help=told)
    add_places(parser)


def add_places(parser: words.OneLineParser) -> None:
    """The arguments that every command has: which config, and where everything lies."""
    parser.add_argument("--cfg", metavar="NAME", help="a name in configs/trainers/<trainer>, or a .yaml file")
    parser.add_argument(
        "--data", metavar="DIR", type=Path, default=words.ROOT / "data", help="where the images are; default: data"
    )
    parser.add_argument("--output", metavar="DIR", default=words.ROOT / "output", help="where runs go; default: output")


def chosen_methods(command: str, given: argparse.Namespace) -> list[str]:
    """The methods of a command, by the names of their run folders."""
    if command == "softcpt":
        variant = {"*": "STAR"}.get(given.variant, given.variant.upper())
        if variant not in VARIANTS:
            raise unknown("Variant", given.variant, VARIANTS)
        return [VARIANTS[variant]]
    if command == "coop":
        if given.context.lower() not in CONTEXTS:
            raise unknown("Context", given.context, CONTEXTS)
        return [CONTEXTS[given.context.lower()]]
    if command == "zsclip":
        if given.templates.lower() not in TEMPLATES:
            raise unknown("Set of templates", given.templates, TEMPLATES)
        return [TEMPLATES[given.templates.lower()]]
    if command == "tip_adapter":
        if given.finetune.lower() not in TIP_ADAPTERS:
            raise unknown("Choice of --finetune", given.finetune, TIP_ADAPTERS)
        return [TIP_ADAPTERS[given.finetune.lower()]]
    return [SINGLE[command]] if command in SINGLE else compared_methods(given)


def named_method(name: str) -> str:
    """A method by the name of its run folders, of its row in a table, or of its script, in capitals or not."""
    known = SINGLE | {"softcpt": VARIANTS["NATA"], "coop": CONTEXTS["task"], "zsclip": TEMPLATES["task"]}
    known |= {"tip_adapter": TIP_ADAPTERS["no"]}
    known |= {label.lower(): method for method, (_, _, label) in METHODS.items()}
    known |= {method.lower(): method for method in METHODS}
    if name.strip().lower() not in known:
        raise unknown("Method", name.strip(), METHODS)
    return known[name.strip().lower()]


def compared_methods(given: argparse.Namespace) -> list[str]:
    """The methods of a comparison, each once; the one to subtract is among them."""
    if given.methods is None:
        methods = COMPARED
    elif every(given.methods):
        methods = list(METHODS)
    elif not all(name.strip() for name in given.methods.split(",")):
        raise InputError(f"--methods '{given.methods}' has an empty name in it; known: all, {', '.join(METHODS)}.")
    else:
        methods = [named_method(name) for name in given.methods.split(",")]
    methods = list(dict.fromkeys([*methods, *([named_method(given.against)] if given.against is not None else [])]))
    if given.against is not None and len(methods) == 1:
        raise InputError(f"--against {methods[0]} has nothing to be compared with; --methods names other methods.")
    return methods


def report_name(shots: Sequence[int], methods: str) -> str:
    """The file that a comparison is written to: with methods of its own it does not replace the usual comparison."""
    usual = f"compare_{'-'.join(map(str, shots))}shots"
    return words.folder_name(usual, [("methods", methods)] if methods else []) + ".md"


def trainer_configs(
    wanted: str, methods: Sequence[str], may_lack: bool
) -> tuple[dict[str, Path], list[str], tuple[str, ...]]:
    """The config of each method's trainer, the methods that have one, and a line for each that has none.

    InputError for the first that has none, unless methods ``may_lack`` it: then only if all do.
    """
    configs, lines = {}, []
    for trainer in dict.fromkeys(METHODS[method][0] for method in methods):
        try:
            configs[trainer] = words.find_config(wanted, [f"configs/trainers/{trainer}"], "Config")
        except InputError:
            if not may_lack:
                raise
            names = ", ".join(method for method in methods if METHODS[method][0] == trainer)
            lines.append(f"Left out, as configs/trainers/{trainer} has no '{wanted}': {names}")
    if not configs:
        known = {path.stem for path in (words.ROOT / "configs" / "trainers").glob("*/*.yaml")}
        raise unknown("Config", wanted, known, where="configs/trainers")
    return configs, [method for method in methods if METHODS[method][0] in configs], tuple(lines)


@dataclass(frozen=True)
class Request:
    """A command's words, read and checked; makes its runs. ``pairs`` are the KEY VALUE pairs that follow "--"."""

    command: str
    script: str
    given: argparse.Namespace
    pairs: list[tuple[str, str]]
    dataset_file: Path
    methods: list[str]
    shots: list[int]
    seeds: list[int]
    configs: dict[str, Path]  # by trainer
    data: Path
    output: Path
    left_out: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """The config's part of the runs' folders."""
        return words.folder_name(self.config.stem, self.pairs)

    @property
    def config(self) -> Path:
        return next(iter(self.configs.values()))

    def job(
        self,
        method: str,
        shots: int,
        seed: int,
        keys: Sequence[tuple[str, str]] = (),
        dataset_file: Path | None = None,
        note: str = "",
        of: Job | None = None,
    ) -> Job:
        """One run. ``keys`` are more KEY VALUE pairs; with ``of``, an evaluation of that run's checkpoint, which needs
        no shots and lies in that run's folder."""
        trainer, chosen, _ = METHODS[method]
        config, dataset_file = self.configs.get(trainer, self.config), dataset_file or self.dataset_file
        pairs = [*self.pairs, *keys]
        if of is None:
            part = words.folder_name(config.stem, pairs)
            folder = self.output / dataset_file.stem / method / part / f"{shots}shots" / f"seed{seed}"
        else:
            folder = of.folder / "tested" / words.folder_name(dataset_file.stem, list(keys))
        flags = {"--root": self.data, "--seed": seed, "--trainer": trainer, "--dataset-config-file": dataset_file}
        flags |= {"--config-file": config, "--output-dir": folder}
        argv = [str(word) for flag in flags.items() for word in flag]
        argv += ["DATASET.NUM_SHOTS", str(shots)] if shots and of is None else []
        argv += [*chosen, "BANK.DIR", str(self.output / ".bank"), *(word for pair in pairs for word in pair)]
        if of is not None:
            argv = ["--eval-only", "--model-dir", str(of.folder), *argv]
        files = [dataset_file, *words.config_chain(config)]
        return Job(method, dataset_file.stem, shots, seed, folder, argv, files, note, of)

    def all_jobs(self) -> list[Job]:
        """Every method at every shot count with every seed; zero-shot CLIP, which has no chance in it, once."""
        jobs = []
        for method in self.methods:
            for shot in self.shots if METHODS[method][0] != "ZeroshotCLIP" else [0]:
                jobs += [self.job(method, shot, seed) for seed in (self.seeds if shot else [1])]
        return jobs

    def needs_openclip(self) -> bool:
        """Whether a run's tower is an OpenCLIP model."""
        tower = {key.upper(): value for key, value in self.pairs}.get("MODEL.BACKBONE.NAME")
        return tower.startswith("open_clip:") if tower else any(map(words.names_openclip, self.configs.values()))

    def plan_fields(self, jobs: list[Job]) -> dict:
        """What a `Plan` of these runs consists of."""
        asked = {key: getattr(self, key) for key in ("command", "script", "methods", "shots", "seeds", "output")}
        needs = self.needs_openclip()
        return asked | {"dataset": self.dataset_file.stem, "config": self.part, "jobs": jobs, "needs_openclip": needs}

    def of_comparison(self) -> dict:
        """What a `Plan` of a comparison has besides: its file, the method to subtract, who takes no part."""
        if self.command != "compare":
            return {}
        asked, against = self.given.methods, self.given.against
        chosen = "all" if every(asked) else "" if self.methods == COMPARED else ",".join(self.methods)
        report = report_name(self.shots, chosen)
        return {"report": report, "against": against and named_method(against), "left_out": self.left_out}


def every(asked: str | None) -> bool:
    """Whether --methods asks for all there are."""
    return asked is not None and "all" in (name.strip().lower() for name in asked.split(","))


def read_words(
    command: str,
    argv: Sequence[str],
    parser: words.OneLineParser,
    usage: str,
    script: str,
    own_keys: Mapping[str, str] = words.OWN_KEYS,
) -> Request:
    """The words behind a command; InputError with one line for whatever is wrong with them.

    ``usage`` is an example of a call, for messages; ``own_keys`` are those that cannot follow "--", and what sets them.
    """
    argv = list(argv)
    split = argv.index("--") if "--" in argv else len(argv)
    given = parser.parse_intermixed_args(argv[:split])
    pairs = words.override_pairs(argv[split + 1 :], own_keys)
    if given.dataset is None:
        raise InputError(f"Which dataset? For example: {usage}")
    dataset_file = words.find_dataset(given.dataset)
    methods = chosen_methods(command, given)

    shots, seeds = [], []
    if command != "zsclip":
        if given.shots is None:
            raise InputError(f"How many shots (training images per class)? For example: {usage}")
        several = command == "compare"
        shots = words.whole_numbers(given.shots, "Shots", 1, "1,2,4,8,16" if several else "4")
        if len(shots) > 1 and not several:
            raise InputError(f"One shot count at a time, and not '{given.shots}'; scripts/compare.sh takes several.")
        seeds = words.whole_numbers(given.seeds, "Seeds", 0, "1,2,3")

    wanted = given.cfg or words.default_config(dataset_file)
    asked, against = (getattr(given, flag, None) for flag in ("methods", "against"))
    against = against and named_method(against)
    configs, methods, left_out = trainer_configs(wanted, methods, may_lack=every(asked))
    if against and against not in methods:
        trainer_configs(wanted, [against], False)  # says what is wrong
    data, output = usable_folders(given)
    return Request(command, script, given, pairs, dataset_file, methods, shots, seeds, configs, data, output, left_out)


def usable_folders(given: argparse.Namespace) -> tuple[Path, Path]:
    """--data and --output, as far as can be told without touching anything."""
    data, output = words.usable_folder(given.data, "--data"), words.usable_folder(given.output, "--output")
    if given.data != words.ROOT / "data" and not data.exists():  # some data sets would be made there
        raise InputError(f"--data {given.data}: there is no such folder; look at its name, or create it.")
    return data, output


def make_plan(command: str, argv: Sequence[str]) -> Plan:
    """The runs that a command asks for; InputError with one line for whatever is wrong with it."""
    script = ABOUT[command][0]
    request = read_words(command, argv, make_parser(command), f"bash {script} {EXAMPLES[command][0]}", script)
    return Plan(**request.plan_fields(request.all_jobs()), **request.of_comparison())
