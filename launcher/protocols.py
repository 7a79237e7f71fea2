"""Two protocols around a method: base classes and new ones, and tasks that were held out of training.

Their runs are planned as those of a method are (launcher/plan.py), with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import catalogue, configs
from common.catalogue import METHODS, Method
from common.errors import InputError, nearest, unknown
from common.text import counted
from launcher import arguments, parsers, plan
from launcher.frame import OneLineParser
from launcher.plan import Job, Plan, Request
from reporting import protocols as tables
from reporting.series import make_series
from runs.results import Run
from runs.status import status


@dataclass(frozen=True)
class Protocol:
    """A protocol: what --help says, the settings that it makes itself, and what it cannot test a method on."""

    script: str
    about: str
    examples: tuple[str, ...]
    sets: dict[str, str]
    out_of_reach: tuple[str, ...]  # what parameters must not be tied to
    new: str  # what is new in its tests


BASE_TO_NEW, NEW_TASKS = "base_to_new", "new_tasks"
FOLDS_KNOB, FOLDS = "NEW_TASK_FOLDS", 3  # trainings without some tasks, see trainers/engine/new_tasks.py
PROTOCOLS = {
    BASE_TO_NEW: Protocol(
        "scripts/base_to_new.sh",
        "Trains a method on the first half of every task's classes (rounded up), and tests it on these and on the new "
        "ones, the others.",
        (
            "softcpt garden8 4",
            "softcpt garden8 4 --variant NATS --seeds 1,2",
            "coop plants7 4 --context shared --data ~/data",
            "zsclip garden8",
        ),
        {"DATASET.SUBSAMPLE_CLASSES": "the script"},
        ("classes",),
        "classes",
    ),
    NEW_TASKS: Protocol(
        "scripts/new_tasks.sh",
        "Trains a method on some tasks of a collection, and tests it on the others, which it never saw: it knows only "
        "their names and those of their classes.",
        (
            "softcpt garden8 4",
            "softcpt garden8 4 --folds 8",
            'softcpt garden8 4 --hold-out "petal colour,weather" --seeds 1,2',
            "coop garden8 4 --context shared --test plants7 --cfg lite0_ep50 --data ~/data",
        ),
        {"DATASET.SUBSAMPLE_TASKS": "the script"},
        ("tasks", "classes"),
        "tasks",
    ),
}
ZERO_SHOT = METHODS["ZeroshotCLIP"]


@dataclass(frozen=True, kw_only=True)
class BaseToNew(Plan):
    """A job on base classes and one on new classes for every seed."""

    base: list[Job]
    new: list[Job]


@dataclass(frozen=True)
class Fold:
    """Tasks that are held out together: their numbers, None for all tasks, and each seed's test on them."""

    held: tuple[int, ...] | None
    jobs: dict[int, Job]


@dataclass(frozen=True, kw_only=True)
class NewTasks(Plan):
    """``names`` are those of the tested collection's tasks, empty if they need not be known in advance."""

    names: list[str]
    zero_shot: Job
    folds: list[Fold]


@dataclass(frozen=True)
class Holdout:
    """Which tasks new_tasks tests: by default each half in turn, or ``folds`` parts; those that ``tasks`` names; or all
    of another collection, ``test``."""

    folds: int | None = None
    tasks: str | None = None
    test: str | None = None


# Gives the names of the tasks of a run; also takes the script that installs what is needed.
TaskNames = Callable[[Job, str], list[str]]


def make_parser(name: str, command: str) -> OneLineParser:
    """The parser of the arguments after the method; that of no method in particular if ``command`` is none."""
    protocol = PROTOCOLS[name]
    script, known = protocol.script, command in catalogue.commands()
    about = protocol.about + ("" if known else " <method> --help lists a method's own flags.")
    program = f"{script} {command}" if known else script
    parser = parsers.run_parser(program, about, protocol.examples, script)  # examples name a method
    if not known:
        parser.add_argument("method", help=f"one of {', '.join(catalogue.commands())}")
    parsers.add_arguments(parser, learns=not known or catalogue.methods_of(command)[0].learns)
    parsers.add_residual(parser, command)
    parsers.add_choice(parser, command)
    if name == NEW_TASKS:
        parser.add_argument(
            "--folds",
            metavar="N",
            help="hold out each of N parts of the collection in turn; default: 2; as many as tasks: leave one out",
        )
        parser.add_argument(
            "--hold-out",
            metavar="TASKS",
            help="hold out these tasks, names or numbers from 0 on, separated by commas, and train on the others",
        )
        parser.add_argument(
            "--test", metavar="OTHER", help="train on all tasks, and test on all tasks of this data set or collection"
        )
    return parser


def make_plan(name: str, argv: Sequence[str], task_names: TaskNames | None) -> BaseToNew | NewTasks:
    """The runs of a protocol.

    Without ``task_names``, runs that depend on them are left out: only the arguments are checked then.

    Raises:
        InputError: an argument cannot be used.
    """
    protocol = PROTOCOLS[name]
    usage = f"bash {protocol.script} {protocol.examples[0]}"
    command, *rest = argv or [""]
    if not command or command.startswith("-"):
        raise InputError(f"Which method? It comes first, for example: {usage}")
    if command not in catalogue.commands():
        raise unknown("Method", command, catalogue.commands())
    args = make_parser(name, command).parse_intermixed_args(arguments.before_dashes(rest))
    first = catalogue.methods_of(command)[0]
    method = catalogue.chosen(command, args.choice) if command in catalogue.CHOICES else first
    request = plan.read_request(args, rest, [method], protocol.script, usage, sets=protocol.sets)
    refuse(name, request.methods[0])
    if name == BASE_TO_NEW:
        return base_to_new(request)
    holdout = read_holdout(args.folds, args.hold_out, args.test)
    return new_tasks(with_zero_shot(request, args.cfg), holdout, task_names)


def reaches(name: str, method: Method) -> bool:
    """True if a method's parameters can be used for what the protocol tests."""
    return method.tied_to not in PROTOCOLS[name].out_of_reach


def refuse(name: str, method: Method) -> None:
    """InputError for a method whose parameters do not reach as far as the protocol asks."""
    if name == NEW_TASKS and not method.learns:
        raise InputError(f"{method.label} learns nothing, so all tasks are new to it; use {ZERO_SHOT.script}.")
    if reaches(name, method):
        return
    others = [other for other in catalogue.methods_of(method.command) if reaches(name, other)]
    if others:
        remedy = f"{catalogue.CHOICES[method.command].flag} {' or '.join(other.choice for other in others)}"
    else:
        remedy = "softcpt or coop" if name == BASE_TO_NEW else "softcpt, or coop --context shared"
    raise InputError(
        f"{method.name} has {method.ties} and none for {PROTOCOLS[name].new} that it was not trained on; use {remedy}."
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
    return BaseToNew(**request.fields(jobs), base=base, new=new)


def new_tasks(request: Request, holdout: Holdout, task_names: TaskNames | None) -> NewTasks:
    """Trains on some tasks and tests on others, beside zero-shot CLIP on the same test images."""
    method, dataset_file = request.methods[0], request.dataset_file
    tested = dataset_file
    if holdout.test is not None:
        tested = configs.find_dataset(holdout.test)
        if tested.stem == dataset_file.stem:
            raise InputError(
                f"--test {holdout.test} is the training collection; name another, or leave it out to hold tasks out."
            )
    zero_shot = request.job(ZERO_SHOT, 0, 1, dataset_file=tested)
    names: list[str] = []
    helds: list[tuple[int, ...] | None] = [None]
    if holdout.test is None:
        names = [] if task_names is None else task_names(zero_shot, request.script)
        helds = [] if task_names is None else [*held_out(holdout, names, dataset_file.stem)]
    folds = []
    for number, held in enumerate(helds, start=1):
        part = f"fold {number} of {len(helds)}" if len(helds) > 1 else ""
        folds.append(Fold(held, test_jobs(request, method, held, len(names), tested, part)))
    by_seed = [fold.jobs[seed] for seed in request.seeds for fold in folds]
    jobs = [step for job in by_seed for step in (job.of, job) if step is not None]
    jobs = list({job.folder: job for job in [zero_shot, *jobs]}.values())
    return NewTasks(**request.fields(jobs), names=names, zero_shot=zero_shot, folds=folds)


def test_jobs(
    request: Request, method: Method, held: tuple[int, ...] | None, n_tasks: int, tested: Path, part: str
) -> dict[int, Job]:
    """Each seed's run on the held-out tasks, or on all of another collection: a test of the run that it is ``of``."""
    on = [] if held is None else [("DATASET.SUBSAMPLE_TASKS", subset(held, n_tasks))]
    others = [] if held is None else [number for number in range(n_tasks) if number not in held]
    of = [("DATASET.SUBSAMPLE_TASKS", subset(others, n_tasks))] if others else []
    of += measured_on_tasks(method, request.pairs)
    jobs = {}
    for seed in request.seeds:
        on_some = f"training on {len(others)} of {n_tasks} tasks" if others else ""
        trained = request.job(method, request.shots[0], seed, of, note=", ".join(filter(None, [part, on_some])))
        note = ", ".join(filter(None, [part, f"on {tested.stem}" if held is None else "held-out tasks"]))
        jobs[seed] = request.job(method, request.shots[0], seed, on, tested, note, trained)
    return jobs


def measured_on_tasks(method: Method, given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The setting by which a method weighs its prompts for new tasks in training, unless it is given or has none."""
    section, knobs = parsers.knobs_of(method)
    key = f"TRAINER.{section}.{FOLDS_KNOB}"
    there = any(knob.name == FOLDS_KNOB for knob in knobs) and key not in {given_key.upper() for given_key, _ in given}
    return [(key, str(FOLDS))] if there else []


def with_zero_shot(request: Request, wanted: str | None) -> Request:
    """The request, with a config for zero-shot CLIP: its own of the name asked for, or else the method's."""
    try:
        config = configs.find_config(wanted or configs.default_config(request.dataset_file), ZERO_SHOT)
    except InputError:
        config = request.config
    return replace(request, configs={**request.configs, ZERO_SHOT.trainer: config})


def read_holdout(folds: str | None, tasks: str | None, test: str | None) -> Holdout:
    """The tasks to hold out; InputError for flags that contradict each other."""
    ways = {"--folds": folds, "--hold-out": tasks, "--test": test}
    chosen = [way for way, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} do not go together; they are different ways to choose new tasks.")
    return Holdout(arguments.whole_number(folds, "--folds", 2), tasks, test)


def held_out(holdout: Holdout, names: Sequence[str], dataset: str) -> list[tuple[int, ...]]:
    """The numbers of the tasks that each run holds out."""
    count = len(names)
    if count < 2:
        raise InputError(
            f"{dataset} has one task, '{names[0]}', so nothing can be held out; to test on another collection, see "
            "--test of scripts/new_tasks.sh."
        )
    if holdout.tasks is not None:
        held = numbers_of(holdout.tasks, names)
        if len(held) == count:
            raise InputError("--hold-out leaves no task to train on; name fewer.")
        return [held]
    folds = holdout.folds or 2
    if folds > count:
        raise InputError(f"--folds {folds} is more than the {count} tasks of {dataset}.")
    # One after the other, the larger ones first, so that two folds are the base and the new half.
    starts = [i * (count // folds) + min(i, count % folds) for i in range(folds + 1)]
    return [tuple(range(first, end)) for first, end in zip(starts, starts[1:], strict=False)]


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
    """The value of DATASET.SUBSAMPLE_TASKS for some of ``count`` tasks."""
    middle = (count + 1) // 2
    halves = {tuple(range(middle)): "base", tuple(range(middle, count)): "new"}
    return halves.get(tuple(numbers)) or "+".join(f"task{number}" for number in numbers)


# -- what is printed --


def finished(job: Job) -> Run | None:
    """A job's run if it is finished."""
    return status(job).run


def report(planned: BaseToNew | NewTasks) -> str:
    """The table of a protocol, its legend, and where the runs are."""
    method = planned.methods[0]
    shots = f", {counted(planned.shots[0], 'shot')}" if planned.shots else ""
    head = f"{method.label} on {planned.dataset}{shots} ({planned.config}): "
    if isinstance(planned, BaseToNew):
        head += "base and new classes"
        parts = tables.base_to_new_report(*base_to_new_series(planned))
        shown = [planned.base[0], planned.new[0]]
    else:
        on = planned.zero_shot.dataset
        head += f"held-out tasks, {counted(len(planned.folds), 'run')} a seed"
        head = head if on == planned.dataset else head.split(": ")[0] + f": tested on {on}"
        parts = tables.new_tasks_report(*new_tasks_parts(planned))
        shown = [next(iter(fold.jobs.values())) for fold in planned.folds]
    folders = "\n".join(f"Runs: {all_seeds(job, planned.seeds)}" for job in shown)
    return "\n\n".join([head, *parts, folders])


def base_to_new_series(planned: BaseToNew) -> tuple[Any, Any]:
    """The finished runs on base classes and on new ones."""
    seeds = [job.seed for job in planned.base]
    base, new = (
        make_series(planned.methods[0].name, seeds, filter(None, map(finished, jobs)))
        for jobs in (planned.base, planned.new)
    )
    return base, new


def new_tasks_table(planned: NewTasks) -> tables.Table:
    """Held-out tasks as rows, and their mean."""
    return tables.new_tasks_table(*new_tasks_parts(planned))


def new_tasks_parts(planned: NewTasks) -> tuple[Run | None, list[tables.HeldOut], list[int], list[str]]:
    """Zero-shot CLIP's run, the finished runs of every fold, the seeds, and the tasks' names."""
    parts = []
    for fold in planned.folds:
        runs = {seed: run for seed, job in fold.jobs.items() if (run := finished(job))}
        trained = [run for job in fold.jobs.values() if job.of is not None and (run := finished(job.of))]
        trained_on = tuple(task.name for task in trained[0].tasks) if trained else ()
        parts.append(tables.HeldOut(fold.held, runs, trained_on))
    return finished(planned.zero_shot), parts, list(planned.folds[0].jobs), planned.names


def all_seeds(job: Job, seeds: Sequence[int]) -> Path:
    """A job's folder, with all seeds in the place of its own."""
    own = (job.of or job).folder
    return own.parent / f"seed{','.join(map(str, seeds or [job.seed]))}" / job.folder.relative_to(own)
