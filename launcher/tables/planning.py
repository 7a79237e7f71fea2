"""The words behind a table's script, read and made into runs by the standard library alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import launch_plan
import protocols
from launch_plan import Job, Plan, Request
from scripts.launch_methods import METHODS, TIED_TO
from scripts.tables.declared import DECLARED, N_TASKS, NAMES, Declared, Variation

from common.errors import InputError, unknown
from scripts import launch_words as words

LAUNCHERS = ("local", "slurm")
# Flags of --launcher slurm: what submitit calls them, what they are, as --help tells.
SLURM = {
    "partition": ("slurm_partition", "NAME", "partition; default: the cluster's"),
    "time": ("timeout_min", "MINUTES", "limit of a job, after which it goes on in another one; default: 240"),
    "mem": ("slurm_mem", "SIZE", "memory of a job, such as 16G; default: 16G"),
    "gpus": ("slurm_gpus_per_node", "N", "GPUs of a job; default: 1; 0: runs on its processors"),
    "account": ("slurm_account", "NAME", "account; default: yours"),
    "array": ("slurm_array_parallelism", "N", "so many jobs at once; default: 16"),
}
# What a table sets itself, and by what. Keys that are a method's own lie with the methods.
OWN_KEYS = {
    **{key: "--methods" for key in words.OWN_KEYS},
    "DATASET.NUM_SHOTS": "--shots",
    "DATASET.NAME": "the collection",
    "DATASET.ROOT": "--data",
    "OUTPUT_DIR": "--output",
    "SEED": "--seeds",
}
DEFAULT_SEPARATOR = ","


@dataclass(frozen=True)
class Section:
    """A part of a table that is planned by itself: the runs of one variation, or of one method in a protocol."""

    variation: Variation
    plan: Plan


@dataclass(frozen=True)
class TablePlan:
    """A whole table: its sections, every run once, and how they are to be run. ``told`` are lines that say what is
    left out or otherwise, ``asked`` names what differs from the table as declared."""

    name: str
    declared: Declared
    request: Request
    sections: list[Section]
    jobs: list[Job]
    told: tuple[str, ...]
    asked: tuple[tuple[str, str], ...]
    given: argparse.Namespace
    n_jobs: int | None
    slurm: dict[str, object]

    @property
    def script(self) -> str:
        return f"scripts/tables/{self.name}.sh"

    @property
    def dataset(self) -> str:
        return self.request.dataset_file.stem

    @property
    def needs_openclip(self) -> bool:
        return any(section.plan.needs_openclip for section in self.sections)


def make_parser(name: str) -> words.OneLineParser:
    """The parser of a table's own arguments, those before "--"."""
    declared, script = DECLARED[name], f"scripts/tables/{name}.sh"
    parser = launch_plan.bare_parser(
        script, declared.about, [f"bash {script} {example}" for example in declared.examples]
    )
    if not declared.fixed:
        told = f"a name in configs/datasets or configs/collections; default: {declared.collection}"
        parser.add_argument("collection", nargs="?", default=declared.collection, help=told)
    listed = DEFAULT_SEPARATOR.join(declared.methods)
    parser.add_argument("--methods", metavar="NAMES", help=f"all, or names with commas; default: {listed}")
    for flag, values in (("shots", declared.shots), ("seeds", declared.seeds)):
        default = DEFAULT_SEPARATOR.join(map(str, values))
        parser.add_argument(f"--{flag}", default=default, help=f"default: {default}")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and run nothing")
    parser.add_argument("--jobs", metavar="N", help="processes at once; default: one for every visible GPU, or 1")
    parser.add_argument("--launcher", default="local", help="local: on this machine (default); slurm: by submitit")
    for flag, (_, metavar, told) in SLURM.items():
        parser.add_argument(f"--slurm-{flag}", metavar=metavar, help=told)
    told = "any other option of sbatch; may be given several times"
    parser.add_argument("--slurm-extra", metavar="KEY=VALUE", action="append", default=[], help=told)
    launch_plan.add_places(parser)
    return parser


def make_plan(name: str, argv: Sequence[str], task_names: protocols.TaskNames | None = None) -> TablePlan:
    """The runs of a table; InputError with one line for whatever is wrong with what is asked for.

    ``task_names`` tells the names of a run's tasks, where a table is of some tasks of a collection that is not known
    here; without it, such a plan is right in all but the tasks' names.
    """
    if name not in DECLARED:
        raise unknown("Table", name, DECLARED)
    declared = DECLARED[name]
    split = argv.index("--") if "--" in argv else len(argv)
    given = make_parser(name).parse_intermixed_args(argv[:split])
    varied = {key: "the script" for variation in declared.variations for key, _ in variation.pairs}
    pairs = words.override_pairs(argv[split + 1 :], OWN_KEYS | varied | protocols.SETS.get(declared.kind, {}))
    dataset_file = words.find_dataset(declared.collection if declared.fixed else given.collection)
    shots = words.whole_numbers(given.shots, "--shots", 1, "1,2,4,8,16")
    seeds = words.whole_numbers(given.seeds, "--seeds", 0, "1,2,3")
    n_jobs = positive(given.jobs, "--jobs")
    slurm = slurm_options(given)
    asked = asked_otherwise(declared, given, pairs)
    given.against = given.folds = given.hold_out = given.test = None  # what tables have no flags for
    may_lack = launch_plan.every(given.methods)
    given.methods = given.methods if given.methods is not None else DEFAULT_SEPARATOR.join(declared.methods)
    methods, told = within_reach(declared, launch_plan.compared_methods(given), may_lack)
    data, output = launch_plan.usable_folders(given)
    sections: list[Section] = []
    variations, line = variations_of(declared, given, dataset_file)
    told += [line] if line else []
    for variation in variations:
        wanted = given.cfg or variation.config or words.default_config(dataset_file)
        configs, able, left_out = launch_plan.trainer_configs(wanted, methods, may_lack)
        told += [text for text in left_out if text not in told]
        every_pair = [*pairs, *variation.pairs]
        request = Request(
            "compare", f"scripts/tables/{name}.sh", given, every_pair, dataset_file, able, shots, seeds, configs, data,
            output,
        )  # fmt: skip
        sections += [Section(variation, plan) for plan in plans_of(declared.kind, request, task_names)]
    jobs = list({job.folder: job for section in sections for job in section.plan.jobs}.values())
    return TablePlan(name, declared, request, sections, jobs, tuple(told), asked, given, n_jobs, slurm)


def positive(text: str | None, flag: str, least: int = 1, example: str = "2") -> int | None:
    """The number behind a flag, None without one."""
    if text is None:
        return None
    if not (text.isdecimal() and int(text) >= least):
        raise InputError(f"{flag} must be a whole number from {least} on, such as {example}, and not '{text}'.")
    return int(text)


def slurm_options(given: argparse.Namespace) -> dict[str, object]:
    """What --launcher and the flags of Slurm ask for, in submitit's words; empty for this machine."""
    if given.launcher not in LAUNCHERS:
        raise unknown("Launcher", given.launcher, LAUNCHERS)
    values = {flag: getattr(given, f"slurm_{flag}") for flag in SLURM}
    if given.launcher == "local":
        chosen = [flag for flag, value in values.items() if value is not None] + ["extra"] * bool(given.slurm_extra)
        if chosen:
            raise InputError(f"--slurm-{chosen[0]} goes with --launcher slurm, which is not asked for.")
        return {}
    if given.jobs is not None:
        raise InputError("--jobs is for --launcher local; --slurm-array says how many jobs run at once on a cluster.")
    default = {"time": "240", "mem": "16G", "gpus": "1", "array": "16"}
    values = default | {k: v for k, v in values.items() if v}
    for flag, least in (("time", 1), ("gpus", 0), ("array", 1)):
        values[flag] = positive(values[flag], f"--slurm-{flag}", least, default[flag])
    extra = {}
    for text in given.slurm_extra:
        key, equals, value = text.partition("=")
        if not (key.strip("- ") and equals):
            raise InputError(f"--slurm-extra must be KEY=VALUE, such as constraint=a100, and not '{text}'.")
        extra[key.strip("- ")] = value
    values = values if values["gpus"] else {k: v for k, v in values.items() if k != "gpus"}
    return {SLURM[flag][0]: value for flag, value in values.items()} | {"slurm_additional_parameters": extra}


def asked_otherwise(
    declared: Declared, given: argparse.Namespace, pairs: list[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """What differs from the table as it is declared, so that a part of a table does not take its file's place."""
    default = {flag: DEFAULT_SEPARATOR.join(map(str, getattr(declared, flag))) for flag in ("shots", "seeds")}
    flags = {"methods": given.methods, "cfg": given.cfg}
    flags |= {flag: getattr(given, flag) for flag in default if getattr(given, flag) != default[flag]}
    return (*((flag, str(value)) for flag, value in flags.items() if value is not None), *pairs)


def within_reach(declared: Declared, methods: list[str], may_lack: bool) -> tuple[list[str], list[str]]:
    """The methods that a table can have, and a line on those that it cannot; InputError if they were named."""
    kind = declared.kind
    if kind == "lengths":
        beyond = {m: "has no lengths L and M" for m in methods if METHODS[m][0] != "SoftCPT" or m == "SoftCPT-STAR"}
    elif kind in protocols.CANNOT:
        what = {"base_to_new": "classes", "new_tasks": "tasks"}[kind]
        beyond = {m: f"has {TIED_TO[m][1]} and none for new {what}" for m in methods if not protocols.reaches(kind, m)}
        if kind == "new_tasks":  # beside which the others stand anyway
            beyond |= {m: "learns nothing" for m in methods if METHODS[m][0] == "ZeroshotCLIP"}
    else:
        beyond = {}
    able = [method for method in methods if method not in beyond]
    if beyond and not (may_lack and able):
        method, reason = next(iter(beyond.items()))
        raise InputError(f"{method} {reason}, so it cannot be in this table; leave it out of --methods.")
    return able, [f"Left out, as what they learn does not reach so far: {', '.join(beyond)}"] if beyond else []


def variations_of(
    declared: Declared, given: argparse.Namespace, dataset_file: Path
) -> tuple[tuple[Variation, ...], str]:
    """What the table varies, and a line if that is less than declared."""
    if declared.kind != "backbones":
        return declared.variations, ""
    own = words.default_config(dataset_file)
    if given.cfg is not None:
        return (Variation(Path(given.cfg).stem),), ""
    if own != words.FALLBACK_CONFIG:
        return (Variation(own),), f"{dataset_file.stem} has one tower, that of its config {own}: one column."
    return declared.variations, ""


def plans_of(kind: str, request: Request, task_names: protocols.TaskNames | None) -> list[Plan]:
    """The plans of one variation: all methods in one, or, in a protocol, one for each method and shot count."""
    if kind in protocols.CANNOT:
        plans = []
        for method in request.methods:
            learns = METHODS[method][0] != "ZeroshotCLIP"
            for n in request.shots if learns else [0]:
                one = replace(request, methods=[method], shots=[n] if learns else [])
                one = one if learns else replace(one, seeds=[])
                names = known_names(task_names)
                plans.append(protocols.base_to_new(one) if kind == "base_to_new" else protocols.new_tasks(one, names))
        return plans
    return [Plan(**request.plan_fields(request.all_jobs()))]


def known_names(task_names: protocols.TaskNames | None) -> Callable[[Job, str], list[str]]:
    """Tells a run's tasks by number where that will do: halves of the tasks are called "base" and "new" anyway."""

    def names(job: Job, script: str) -> list[str]:
        count = N_TASKS.get(job.dataset)
        if count is None and task_names is not None:
            return task_names(job, script)
        return [f"task {number}" for number in range(count or 2)]

    return names


def title(plan: TablePlan) -> str:
    """What a table is about, in a line."""
    shots = ", ".join(map(str, plan.request.shots))
    plain = [section.plan.config for section in plan.sections if not section.variation.pairs]
    config = ", ".join(dict.fromkeys(plain))
    name = NAMES.get(plan.dataset, plan.dataset)
    seeds = ", ".join(map(str, plan.request.seeds))
    return f"{plan.name} on {name}: {shots} shot{'s' * (shots != '1')}, seeds {seeds}, {config}"
