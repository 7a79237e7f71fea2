"""The arguments of a table's script, read and made into runs. Standard library only."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import configs
from common.catalogue import Method
from common.errors import InputError, unknown
from launcher import arguments, parsers, protocols
from launcher import plan as planning
from launcher.frame import OneLineParser
from launcher.plan import Job, Plan, Request
from launcher.tables.catalogue import DECLARED, N_TASKS, NAMES, Declared, Variation

LAUNCHERS = ("local", "slurm")
# Flags of --launcher slurm: submitit's name, the argument's name, the help.
SLURM = {
    "partition": ("slurm_partition", "NAME", "partition; default: the cluster's"),
    "time": ("timeout_min", "MINUTES", "limit of a job, which then continues in another one; default: 240"),
    "mem": ("slurm_mem", "SIZE", "memory of a job, such as 16G; default: 16G"),
    "gpus": ("slurm_gpus_per_node", "N", "GPUs of a job; default: 1; 0: runs on its processors"),
    "account": ("slurm_account", "NAME", "account; default: yours"),
    "array": ("slurm_array_parallelism", "N", "up to N jobs at once; default: 16"),
}
# Settings that a table makes itself, and how. Keys of a single method are in the catalogue of methods.
OWN_KEYS = {
    "DATASET.NUM_SHOTS": "--shots",
    "DATASET.NAME": "the collection",
    "DATASET.ROOT": "--data",
    "OUTPUT_DIR": "--output",
    "SEED": "--seeds",
}


@dataclass(frozen=True)
class Section:
    """A part of a table with a plan of its own: the runs of one variation, or of one method in a protocol."""

    variation: Variation
    plan: Plan


@dataclass(frozen=True)
class Processes:
    """Where the runs go: ``count`` processes on this machine (None: one a GPU, or one), or a Slurm cluster if
    ``slurm`` holds submitit's options."""

    count: int | None
    slurm: dict[str, Any]


@dataclass(frozen=True)
class TablePlan:
    """A whole table: its sections, every run once, and where they go. ``notes`` are lines on what is left out,
    ``changes`` the arguments that differ from the table as declared."""

    name: str
    declared: Declared
    request: Request
    sections: list[Section]
    jobs: list[Job]
    notes: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    processes: Processes
    dry_run: bool

    @property
    def script(self) -> str:
        return f"scripts/tables/{self.name}.sh"

    @property
    def dataset(self) -> str:
        return self.request.dataset_file.stem

    @property
    def needs_openclip(self) -> bool:
        return any(section.plan.needs_openclip for section in self.sections)


def make_parser(name: str) -> OneLineParser:
    """The parser of a table's own arguments, those before "--"."""
    declared = DECLARED[name]
    parser = parsers.run_parser(f"scripts/tables/{name}.sh", declared.about, declared.examples)
    if not declared.fixed:
        about = f"a name in configs/datasets or configs/collections; default: {declared.collection}"
        parser.add_argument("collection", nargs="?", default=declared.collection, help=about)
    listed = ",".join(declared.methods)
    parser.add_argument("--methods", metavar="NAMES", help=f"all, or names separated by commas; default: {listed}")
    for flag, values in (("shots", declared.shots), ("seeds", declared.seeds)):
        default = ",".join(map(str, values))
        parser.add_argument(f"--{flag}", default=default, help=f"default: {default}")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and run nothing")
    parser.add_argument("--jobs", metavar="N", help="processes at once; default: one per visible GPU, or 1")
    parser.add_argument("--launcher", default="local", help="local: on this machine (default); slurm: by submitit")
    for flag, (_, metavar, about) in SLURM.items():
        parser.add_argument(f"--slurm-{flag}", metavar=metavar, help=about)
    parser.add_argument(
        "--slurm-extra",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any other option of sbatch; may be given several times",
    )
    arguments.add_places(parser)
    return parser


def make_plan(name: str, argv: Sequence[str], task_names: protocols.TaskNames | None = None) -> TablePlan:
    """The runs of a table.

    ``task_names`` gives the names of a run's tasks, for a table on some tasks of a collection that is not known here;
    without it, such a plan is right in all but the tasks' names.

    Raises:
        InputError: an argument cannot be used.
    """
    if name not in DECLARED:
        raise unknown("Table", name, DECLARED)
    declared = DECLARED[name]
    args = make_parser(name).parse_intermixed_args(arguments.before_dashes(argv))
    varied = {key: "the script" for variation in declared.variations for key, _ in variation.pairs}
    by_protocol = protocols.PROTOCOLS[declared.kind].sets if declared.kind in protocols.PROTOCOLS else {}
    by_methods = dict.fromkeys(arguments.own_keys(), "--methods")
    pairs = arguments.override_pairs(arguments.after_dashes(argv), by_methods | OWN_KEYS | varied | by_protocol)
    dataset_file = configs.find_dataset(declared.collection if declared.fixed else args.collection)
    shots = arguments.whole_numbers(args.shots, "--shots", 1, "1,2,4,8,16")
    seeds = arguments.whole_numbers(args.seeds, "--seeds", 0, "1,2,3")
    processes = Processes(arguments.whole_number(args.jobs, "--jobs"), slurm_options(args))
    changes = changes_of(declared, args, pairs)
    may_lack = planning.asks_for_all(args.methods)
    listed = args.methods if args.methods is not None else ",".join(declared.methods)
    methods, notes = within_reach(declared, planning.named_methods(listed), may_lack)
    data, output = arguments.usable_folders(args.data, args.output)
    sections: list[Section] = []
    variations, note = variations_of(declared, args.cfg, dataset_file)
    notes += [note] if note else []
    request: Request | None = None
    for variation in variations:
        wanted = args.cfg or variation.config or configs.default_config(dataset_file)
        found, able, left_out = planning.find_configs(wanted, methods, may_lack)
        notes += [line for line in left_out if line not in notes]
        keys = (*pairs, *variation.pairs)
        script = f"scripts/tables/{name}.sh"
        one = Request(script, dataset_file, able, shots, seeds, keys, found, data, output, redo=args.redo)
        request = request or replace(one, pairs=tuple(pairs))
        sections += [
            Section(variation, plan) for plan in plans_of(declared.kind, one, args.cfg or variation.config, task_names)
        ]
    assert request is not None
    jobs = list({job.folder: job for section in sections for job in section.plan.jobs}.values())
    return TablePlan(name, declared, request, sections, jobs, tuple(notes), changes, processes, dry_run=args.dry_run)


def slurm_options(args: argparse.Namespace) -> dict[str, Any]:
    """--launcher and the flags of Slurm as submitit's options; empty for this machine."""
    if args.launcher not in LAUNCHERS:
        raise unknown("Launcher", args.launcher, LAUNCHERS)
    values: dict[str, Any] = {flag: getattr(args, f"slurm_{flag}") for flag in SLURM}
    if args.launcher == "local":
        chosen = [flag for flag, value in values.items() if value is not None] + ["extra"] * bool(args.slurm_extra)
        if chosen:
            raise InputError(f"--slurm-{chosen[0]} goes with --launcher slurm, which is not asked for.")
        return {}
    if args.jobs is not None:
        raise InputError("--jobs is for --launcher local; --slurm-array says how many jobs run at once on a cluster.")
    default = {"time": "240", "mem": "16G", "gpus": "1", "array": "16"}
    values = default | {flag: value for flag, value in values.items() if value}
    for flag, least in (("time", 1), ("gpus", 0), ("array", 1)):
        values[flag] = arguments.whole_number(values[flag], f"--slurm-{flag}", least, default[flag])
    if not re.fullmatch("[0-9]{1,9}[KMGTkmgt]?", values["mem"]):
        raise InputError(f"--slurm-mem must be a size, such as 16G (0: all of the node), and not '{values['mem']}'.")
    extra = {}
    for text in args.slurm_extra:
        key, equals, value = text.partition("=")
        if not (key.strip("- ") and equals):
            raise InputError(f"--slurm-extra must be KEY=VALUE, such as constraint=a100, and not '{text}'.")
        extra[key.strip("- ")] = value
    if not values["gpus"]:
        del values["gpus"]
    return {SLURM[flag][0]: value for flag, value in values.items()} | {"slurm_additional_parameters": extra}


def changes_of(
    declared: Declared, args: argparse.Namespace, pairs: list[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """What differs from the table as declared, so that a part of a table does not replace the file of the whole."""
    default = {flag: ",".join(map(str, getattr(declared, flag))) for flag in ("shots", "seeds")}
    flags = {"methods": args.methods, "cfg": args.cfg}
    flags |= {flag: getattr(args, flag) for flag in default if getattr(args, flag) != default[flag]}
    return (*((flag, str(value)) for flag, value in flags.items() if value is not None), *pairs)


def within_reach(declared: Declared, methods: list[Method], may_lack: bool) -> tuple[list[Method], list[str]]:
    """The methods that a table can have, and a line on the others; InputError if one of these was named."""
    kind = declared.kind
    beyond: dict[Method, str] = {}
    if kind == "lengths":
        lacks = [m for m in methods if m.trainer != "SoftCPT" or m.name == "SoftCPT-STAR"]
        beyond = dict.fromkeys(lacks, "has no lengths L and M")
    elif kind in protocols.PROTOCOLS:
        new = protocols.PROTOCOLS[kind].new
        beyond = {m: f"has {m.ties} and none for new {new}" for m in methods if not protocols.reaches(kind, m)}
        if kind == protocols.NEW_TASKS:  # the table has zero-shot CLIP beside every method anyway
            beyond |= {m: "learns nothing" for m in methods if not m.learns}
    able = [method for method in methods if method not in beyond]
    if not beyond:
        return able, []
    if not (may_lack and able):
        method, reason = next(iter(beyond.items()))
        raise InputError(f"{method.name} {reason}, so it cannot be in this table; leave it out of --methods.")
    names = ", ".join(method.name for method in beyond)
    return able, [f"Left out, as they cannot be in this table: {names}"]


def variations_of(declared: Declared, cfg: str | None, dataset_file: Path) -> tuple[tuple[Variation, ...], str]:
    """What the table varies, and a line if that is less than declared."""
    if declared.kind != "backbones":
        return declared.variations, ""
    own = configs.default_config(dataset_file)
    if cfg is not None:
        return (Variation(Path(cfg).stem),), ""
    if own != configs.FALLBACK:
        return (Variation(own),), f"{dataset_file.stem} has one tower, that of its config {own}: one column."
    return declared.variations, ""


def plans_of(kind: str, request: Request, cfg: str | None, task_names: protocols.TaskNames | None) -> list[Plan]:
    """The plans of one variation: all methods in one, or, in a protocol, one for each method and shot count."""
    if kind not in protocols.PROTOCOLS:
        return [Plan(**request.fields(request.all_jobs()))]
    plans: list[Plan] = []
    for method in request.methods:
        for n in request.shots if method.learns else [0]:
            shots, seeds = ([n], request.seeds) if method.learns else ([], [])
            one = replace(request, methods=[method], shots=shots, seeds=seeds)
            if kind == protocols.BASE_TO_NEW:
                plans.append(protocols.base_to_new(one))
            else:
                one = protocols.with_zero_shot(one, cfg)
                plans.append(protocols.new_tasks(one, protocols.Holdout(), known_names(task_names)))
    return plans


def known_names(task_names: protocols.TaskNames | None) -> protocols.TaskNames:
    """Name a run's tasks by number if that suffices: halves of the tasks are called "base" and "new" anyway."""

    def names(job: Job, script: str) -> list[str]:
        count = N_TASKS.get(job.dataset)
        if count is None and task_names is not None:
            return task_names(job, script)
        return [f"task {number}" for number in range(count or 2)]

    return names


def title(plan: TablePlan) -> str:
    """The subject of a table, in a line."""
    shots = ", ".join(map(str, plan.request.shots))
    plain = [section.plan.config for section in plan.sections if not section.variation.pairs]
    config = ", ".join(dict.fromkeys(plain))
    name = NAMES.get(plan.dataset, plan.dataset)
    seeds = ", ".join(map(str, plan.request.seeds))
    return f"{plan.name} on {name}: {shots} shot{'s' * (shots != '1')}, seeds {seeds}, {config}"
