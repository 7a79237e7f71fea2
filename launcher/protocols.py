"""Two protocols around a method: base classes and new ones, and tasks that were held out of training.

Plans their runs as launch_plan.py does those of a method, by the standard library alone; launch.py runs them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import launch_plan
from launch_plan import Job, Plan, Request
from scripts.launch_methods import CONTEXTS, METHODS, TIED_TO, VARIANTS
from scripts.launch_words import OWN_KEYS, OneLineParser, default_config, find_config, find_dataset

from common.errors import InputError, nearest, unknown
from reporting import protocols as tables
from reporting.series import make_series
from runs.results import Run
from scripts import launch_methods

ABOUT = {
    "base_to_new": (
        "scripts/base_to_new.sh",
        "Trains a method on the first half of every task's classes (rounded up), and tests it on these and on the new "
        "ones, the others.",
    ),
    "new_tasks": (
        "scripts/new_tasks.sh",
        "Trains a method on some tasks of a collection, and tests it on the others, which it never saw: their names "
        "and those of their classes are all that it is told.",
    ),
}
EXAMPLES = {
    "base_to_new": [
        "softcpt garden8 4",
        "softcpt garden8 4 --variant NATS --seeds 1,2",
        "coop plants7 4 --context shared --data ~/data",
        "zsclip garden8",
    ],
    "new_tasks": [
        "softcpt garden8 4",
        "softcpt garden8 4 --folds 8",
        'softcpt garden8 4 --hold-out "petal colour,weather" --seeds 1,2',
        "coop garden8 4 --context shared --test plants7 --cfg lite0_ep50 --data ~/data",
    ],
}
# A method cannot be tested on what its parameters are tied to, other than that which it learned.
CANNOT = {"base_to_new": ("classes",), "new_tasks": ("tasks", "classes")}
SETS = {
    "base_to_new": {"DATASET.SUBSAMPLE_CLASSES": "the script"},
    "new_tasks": {"DATASET.SUBSAMPLE_TASKS": "the script"},
}
ZERO_SHOT = "ZeroshotCLIP"
ABOUT_ZERO_SHOT = launch_methods.ABOUT["zsclip"][0]


@dataclass(frozen=True, kw_only=True)
class BaseToNew(Plan):
    """A job on base classes and one on new classes for every seed."""

    base: list[Job]
    new: list[Job]


@dataclass(frozen=True)
class Fold:
    """Tasks that are held out together: their numbers, None for all that there are, and each seed's test on them."""

    held: tuple[int, ...] | None
    jobs: dict[int, Job]


@dataclass(frozen=True, kw_only=True)
class NewTasks(Plan):
    """``names`` are those of the tested collection's tasks, empty where they need not be known in advance."""

    names: list[str]
    zero_shot: Job
    folds: list[Fold]


# Asks the launcher for the names of the tasks that a run is about; also given the script that installs what it needs.
TaskNames = Callable[[Job, str], list[str]]


def scripts_of_methods() -> list[str]:
    return [command for command in launch_methods.ABOUT if command != "compare"]


def make_parser(protocol: str, command: str) -> OneLineParser:
    """The parser of what stands behind the method; that of no method in particular if ``command`` is none."""
    script, about = ABOUT[protocol]
    examples = [f"bash {script} {example}" for example in EXAMPLES[protocol]]
    if command in scripts_of_methods():
        parser = launch_plan.bare_parser(f"{script} {command}", about, examples)
    else:
        listed = ", ".join(scripts_of_methods())
        parser = launch_plan.bare_parser(script, f"{about} <method> --help tells a method's own flags.", examples)
        parser.add_argument("method", help=f"one of {listed}")
        command = ""
    launch_plan.add_arguments(parser, command)
    if protocol == "new_tasks":
        told = "hold out so many parts of the collection in turn; default: 2; the number of tasks: leave one task out"
        parser.add_argument("--folds", metavar="N", help=told)
        told = "hold out these tasks, by names or by numbers from 0 on, separated by commas, and train on the others"
        parser.add_argument("--hold-out", metavar="TASKS", help=told)
        told = "train on all tasks, and test on all tasks of this data set or collection"
        parser.add_argument("--test", metavar="OTHER", help=told)
    return parser


def make_plan(protocol: str, argv: Sequence[str], task_names: TaskNames | None) -> Plan:
    """The runs of a protocol; InputError with one line for whatever is wrong with what is asked for.

    Without ``task_names``, runs that depend on them are left out: nothing is known then but what the words say.
    """
    script, _ = ABOUT[protocol]
    usage = f"bash {script} {EXAMPLES[protocol][0]}"
    command, *rest = argv or [""]
    if not command or command.startswith("-"):
        raise InputError(f"Which method? It comes first, for example: {usage}")
    if command not in scripts_of_methods():
        raise unknown("Method", command, scripts_of_methods())
    own_keys = {**OWN_KEYS, **SETS[protocol]}
    parser = make_parser(protocol, command)
    request = launch_plan.read_words(command, rest, parser, usage, script, own_keys)
    refuse(protocol, command, request.methods[0])
    return base_to_new(request) if protocol == "base_to_new" else new_tasks(request, task_names)


def reaches(protocol: str, method: str) -> bool:
    """Have a method's parameters a meaning for what the protocol tests it on?"""
    return TIED_TO.get(method, ("nothing",))[0] not in CANNOT[protocol]


def refuse(protocol: str, command: str, method: str) -> None:
    """InputError for a method whose parameters do not reach as far as the protocol asks."""
    if protocol == "new_tasks" and METHODS[method][0] == METHODS[ZERO_SHOT][0]:
        raise InputError(f"{METHODS[method][2]} learns nothing, all tasks are new to it; use {ABOUT_ZERO_SHOT}.")
    if reaches(protocol, method):
        return
    what = "classes" if protocol == "base_to_new" else "tasks"
    other = {"softcpt": ("--variant", VARIANTS), "coop": ("--context", CONTEXTS)}.get(command)
    if other:
        flag, choices = other
        remedy = f"{flag} {' or '.join(choice for choice, name in choices.items() if reaches(protocol, name))}"
    else:
        remedy = "softcpt or coop" if protocol == "base_to_new" else "softcpt, or coop --context shared"
    raise InputError(
        f"{method} has {TIED_TO[method][1]} and so none for {what} that it was not trained on; use {remedy}."
    )


def base_to_new(request: Request) -> BaseToNew:
    """Trains on base classes, which are tested as always, and tests the same parameters on new classes."""
    method = request.methods[0]
    base, new = [], []
    of_base, of_new = ([("DATASET.SUBSAMPLE_CLASSES", part)] for part in ("base", "new"))
    for seed in request.seeds or [1]:
        shots = request.shots[0] if request.shots else 0
        base.append(request.job(method, shots, seed, of_base, note="base classes"))
        trained = base[-1] if shots else None
        new.append(request.job(method, shots, seed, of_new, note="new classes", of=trained))
    jobs = [job for pair in zip(base, new, strict=True) for job in pair]
    return BaseToNew(**plan_fields("base_to_new", request, jobs), base=base, new=new)


def new_tasks(request: Request, task_names: TaskNames | None) -> NewTasks:
    """Trains on some tasks and tests on others, beside zero-shot CLIP on the same test images."""
    given, method = request.given, request.methods[0]
    check_split(given)
    request = with_zero_shot(request)
    tested = request.dataset_file
    if given.test is not None:
        tested = find_dataset(given.test)
        if tested.stem == request.dataset_file.stem:
            raise InputError(
                f"--test {given.test} is what is trained on; name another, or leave it out to hold tasks out."
            )
    zero_shot = request.job(ZERO_SHOT, 0, 1, dataset_file=tested)
    names: list[str] = []
    helds: list[tuple[int, ...] | None] = [None]
    if given.test is None and task_names is None:
        helds = []
    elif given.test is None:
        names = task_names(zero_shot, request.script)
        helds = held_out(given, names, request.dataset_file.stem)
    folds = []
    for number, held in enumerate(helds, start=1):
        part = f"fold {number} of {len(helds)}" if len(helds) > 1 else ""
        folds.append(Fold(held, test_jobs(request, method, held, len(names), tested, part)))
    by_seed = [fold.jobs[seed] for seed in request.seeds for fold in folds]
    jobs = [step for job in by_seed for step in (job.of, job) if step is not None]
    jobs = list({job.folder: job for job in [zero_shot, *jobs]}.values())
    fields = plan_fields("new_tasks", request, jobs)
    return NewTasks(**fields, names=names, zero_shot=zero_shot, folds=folds)


def test_jobs(
    request: Request, method: str, held: tuple[int, ...] | None, n_tasks: int, tested: Path, part: str
) -> dict[int, Job]:
    """Each seed's run on the held-out tasks, or on all of another collection: a test of the run that it is ``of``."""
    on = [] if held is None else [("DATASET.SUBSAMPLE_TASKS", subset(held, n_tasks))]
    others = [] if held is None else [number for number in range(n_tasks) if number not in held]
    of = [("DATASET.SUBSAMPLE_TASKS", subset(others, n_tasks))] if others else []
    jobs = {}
    for seed in request.seeds:
        on_some = f"training on {len(others)} of {n_tasks} tasks" if others else ""
        trained = request.job(method, request.shots[0], seed, of, note=", ".join(filter(None, [part, on_some])))
        note = ", ".join(filter(None, [part, f"on {tested.stem}" if held is None else "held-out tasks"]))
        jobs[seed] = request.job(method, request.shots[0], seed, on, tested, note, trained)
    return jobs


def plan_fields(protocol: str, request: Request, jobs: list[Job]) -> dict:
    return request.plan_fields(jobs) | {"command": protocol}


def with_zero_shot(request: Request) -> Request:
    """The request, able to make runs of zero-shot CLIP: by its config of the name asked for, or the method's own."""
    trainer = METHODS[ZERO_SHOT][0]
    wanted = request.given.cfg or default_config(request.dataset_file)
    try:
        config = find_config(wanted, [f"configs/trainers/{trainer}"], "Config")
    except InputError:
        config = request.config
    return replace(request, configs={**request.configs, trainer: config})


def check_split(given: argparse.Namespace) -> None:
    """InputError for ways to hold tasks out that cannot be meant."""
    ways = {"--folds": given.folds, "--hold-out": given.hold_out, "--test": given.test}
    chosen = [way for way, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} do not go together; they are different ways to choose what is new.")
    if given.folds is not None and not (given.folds.isdecimal() and int(given.folds) >= 2):
        raise InputError(f"--folds must be a whole number from 2 on, and not '{given.folds}'.")


def held_out(given: argparse.Namespace, names: Sequence[str], dataset: str) -> list[tuple[int, ...]]:
    """The numbers of the tasks that each run holds out."""
    count = len(names)
    if count < 2:
        raise InputError(
            f"{dataset} has one task, '{names[0]}', so nothing can be held out; to test on another collection, see "
            "--test of scripts/softcpt/new_tasks.sh."
        )
    if given.hold_out is not None:
        held = numbers_of(given.hold_out, names)
        if len(held) == count:
            raise InputError("--hold-out leaves no task to train on; name fewer.")
        return [held]
    folds = int(given.folds or 2)
    if folds > count:
        raise InputError(f"--folds {folds} is more than the {count} tasks of {dataset}.")
    # One after the other, the larger ones first, so that two folds are the base and the new half.
    starts = [i * (count // folds) + min(i, count % folds) for i in range(folds + 1)]
    return [tuple(range(first, behind)) for first, behind in zip(starts, starts[1:], strict=False)]


def numbers_of(listed: str, names: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the tasks in a comma-separated list of names or numbers, in the collection's order."""
    lower = [name.lower() for name in names]
    found = set()
    for part in (part.strip() for part in listed.split(",")):
        if lower.count(part.lower()) > 1:
            raise InputError(f"--hold-out: several tasks are called '{part}'; give the number, from 0 on.")
        if part.lower() in lower:
            found.add(lower.index(part.lower()))
        elif part.isdecimal() and int(part) < len(names):
            found.add(int(part))
        else:
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names))
            guess = nearest(part, names)
            hint = f"; did you mean '{guess}'?" if guess else "."
            raise InputError(f"--hold-out: task '{part}' is unknown{hint} Known: {listed}.")
    return tuple(sorted(found))


def subset(numbers: Sequence[int], count: int) -> str:
    """What DATASET.SUBSAMPLE_TASKS says for some of ``count`` tasks."""
    middle = (count + 1) // 2
    halves = {tuple(range(middle)): "base", tuple(range(middle, count)): "new"}
    return halves.get(tuple(numbers)) or "+".join(f"task{number}" for number in numbers)


# -- what is printed --


def report(plan: BaseToNew | NewTasks, finished: Callable[[Job], Run | None]) -> str:
    """The table of a protocol, what its figures are, and where the runs are; ``finished`` gives a job's run."""
    shots = f", {plan.shots[0]} shot{'s' * (plan.shots[0] != 1)}" if plan.shots else ""
    head = f"{METHODS[plan.methods[0]][2]} on {plan.dataset}{shots} ({plan.config}): "
    if isinstance(plan, BaseToNew):
        head += "base and new classes"
        parts = base_to_new_parts(plan, finished)
        shown = [plan.base[0], plan.new[0]]
    else:
        on = plan.zero_shot.dataset
        head += f"held-out tasks, {len(plan.folds)} run{'s' * (len(plan.folds) != 1)} a seed"
        head = head if on == plan.dataset else head.split(": ")[0] + f": tested on {on}"
        parts = new_tasks_parts(plan, finished)
        shown = [next(iter(fold.jobs.values())) for fold in plan.folds]
    folders = "\n".join(f"Runs: {all_seeds(job, plan.seeds)}" for job in shown)
    return "\n\n".join([head, *parts, folders])


def base_to_new_parts(plan: BaseToNew, finished: Callable[[Job], Run | None]) -> list[str]:
    seeds = [job.seed for job in plan.base]
    base, new = (
        make_series(plan.methods[0], seeds, filter(None, map(finished, jobs))) for jobs in (plan.base, plan.new)
    )
    return tables.base_to_new_report(base, new)


def new_tasks_table(plan: NewTasks, finished: Callable[[Job], Run | None]) -> tables.Table:
    """Held-out tasks as rows, and their mean."""
    parts = held_out_parts(plan, finished)
    return tables.new_tasks_table(finished(plan.zero_shot), parts, list(plan.folds[0].jobs), plan.names)


def new_tasks_parts(plan: NewTasks, finished: Callable[[Job], Run | None]) -> list[str]:
    parts = held_out_parts(plan, finished)
    return tables.new_tasks_report(finished(plan.zero_shot), parts, list(plan.folds[0].jobs), plan.names)


def held_out_parts(plan: NewTasks, finished: Callable[[Job], Run | None]) -> list[tables.HeldOut]:
    """What has finished of every fold."""
    parts = []
    for fold in plan.folds:
        runs = {seed: run for seed, job in fold.jobs.items() if (run := finished(job))}
        trained = [run for job in fold.jobs.values() if job.of is not None and (run := finished(job.of))]
        learned = tuple(task.name for task in trained[0].tasks) if trained else ()
        parts.append(tables.HeldOut(fold.held, runs, learned))
    return parts


def all_seeds(job: Job, seeds: Sequence[int]) -> Path:
    """A job's folder, with all seeds in the place of its own."""
    own = (job.of or job).folder
    return own.parent / f"seed{','.join(map(str, seeds or [job.seed]))}" / job.folder.relative_to(own)
