"""Runs what a plan lacks, in this process, and collects what failed."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import Busy, DiskFull, InputError
from common.files import write_atomically
from common.paths import TRACEBACK
from common.text import counted, one_line, printable
from launcher import frame
from launcher.plan import Job, Plan
from reporting.measures import MEASURES
from reporting.series import Series, make_series
from runs import pictures
from runs.results import read_run
from runs.status import check_unused, forget, hashes_of_inputs, note_inputs, results_file, status

# Kinds of failures.
FAILED, REFUSED, ELSEWHERE = "failed", "refused", "another process is running it"


class Failure(NamedTuple):
    """A run that did not finish here: why, in a line, and where to find more, if anywhere.

    ``kind`` is FAILED, REFUSED for an error that the user has to fix, or ELSEWHERE, which is not a failure.
    """

    job: Job
    reason: str
    details: str = ""
    kind: str = FAILED


class Engine(NamedTuple):
    """What needs PyTorch: runs a job, and names the tasks of one."""

    run: Callable[[Job], object]
    task_names: Callable[[Job], list[str]]


def load_engine(script: str) -> Engine:
    """The engine: PyTorch comes with it, which takes seconds, once.

    Raises:
        InputError: this Python lacks a module; ``script`` is what to call instead.
    """
    try:
        import runs.config  # noqa: F401  which `settings_of` imports
        from common import plugins
        from runs.run import Request, run, task_names

        plugins.load(plugins.paths())
    except ModuleNotFoundError as error:
        raise frame.not_installed(error, script) from error

    def request(job: Job) -> Request:
        model_dir = "" if job.of is None else str(job.of.folder)
        command = tuple(job.command())
        return Request(job.dataset, job.config.stem, command, job.of is not None, model_dir, brief=True)

    return Engine(lambda job: run(settings_of(job), request(job)), lambda job: task_names(settings_of(job)))


def settings_of(job: Job):  # a CfgNode, which cannot be named before yacs is there
    """A job's settings."""
    from runs.config import load_config

    return load_config(job.dataset_file, job.method, job.overrides(), job.config)


def names_of_tasks(job: Job, script: str) -> list[str]:
    """The names of a job's tasks: from its results if there are any, since that needs no PyTorch."""
    done = status(job)
    if done.run is not None and done.settled:
        return [task.name for task in done.run.tasks]
    return load_engine(script).task_names(job)


def run_missing(plan: Plan) -> list[Failure]:
    """Run the jobs that are not settled, in this process, and return those that failed.

    An InputError ends the command. In a comparison it may concern one method alone, such as a tower that it does not
    support: the others run, unless none has a run and all fail for the same reason.
    """
    check_pictures(plan.jobs, plan.redo, plan.script)
    missing = [job for job in plan.jobs if not status(job).settled]
    if len(missing) < len(plan.jobs):
        done = len(plan.jobs) - len(missing)
        print(
            "The run is finished already."
            if len(plan.jobs) == 1
            else f"{done} of {len(plan.jobs)} runs are finished already.",
            flush=True,
        )
    numbers = range(1, len(missing) + 1)
    failures = run_jobs(missing, plan.script, numbers, len(missing), keep_going=plan.comparison is not None)
    if len(failures) == len(plan.jobs) and same_refusal(failures):
        raise InputError(failures[0].reason)
    return failures


def check_pictures(jobs: Sequence[Job], redo: bool, script: str) -> None:
    """InputError if the pictures of a finished run changed since; with ``redo``, finished runs start again instead.

    Nothing is forgotten if another process is running one of them, or if nothing can run in this Python.
    """
    if redo:
        load_engine(script)
        for job in jobs:
            check_unused(job)
        for job in jobs:
            forget(job)
        return
    for job in jobs:
        if status(job).run is not None:
            pictures.check(job.folder, job.data, "--redo runs it again, and another --output keeps it")


def same_refusal(failures: Sequence[Failure]) -> bool:
    """True if the user has to fix the same thing for all of these."""
    return {failure.kind for failure in failures} == {REFUSED} and len({failure.reason for failure in failures}) == 1


def run_jobs(
    jobs: Sequence[Job], script: str, numbers: Sequence[int], count: int, keep_going: bool = True
) -> list[Failure]:
    """Run jobs in this process, one after the other, and return those that did not finish.

    Args:
        script: what a user calls, for messages.
        numbers: those of the jobs among ``count``, for the progress lines.
        keep_going: an InputError of one job does not end the others.
    """
    if not jobs:
        return []
    engine = load_engine(script)
    failures: list[Failure] = []
    refused: dict[tuple[str, int], str] = {}  # by method and shots: another seed would not help
    for number, job in zip(numbers, jobs, strict=True):
        if (job.method, job.shots) in refused:
            failures.append(Failure(job, refused[job.method, job.shots], kind=REFUSED))
            continue
        name = describe(job)
        if job.of is not None and status(job.of).run is None:
            print(f"[{number}/{count}] {name}: the run to be tested is not finished", flush=True)
            continue
        print(f"[{number}/{count}] {name}", flush=True)
        try:
            inputs = hashes_of_inputs(job)  # files may change while it runs
            engine.run(job)
            read_run(job.folder, results_file(job).name)
            note_inputs(job, inputs)
            (job.folder / TRACEBACK).unlink(missing_ok=True)
        except BrokenPipeError:  # nobody reads any more, as after | head
            raise
        except Busy as error:
            failures.append(Failure(job, str(error), kind=ELSEWHERE))
            print(f"Left to another process: {name}", flush=True)
        except InputError as error:
            if not keep_going or isinstance(error, DiskFull):
                raise
            refused[job.method, job.shots] = one_line(error)
            failures.append(Failure(job, refused[job.method, job.shots], kind=REFUSED))
            print(f"Not possible: {refused[job.method, job.shots]}", flush=True)
        except (Exception, SystemExit) as error:  # one failed run must not cost the others
            failures.append(Failure(job, first_line(error), keep_traceback(job.folder)))
            print(f"Failed: {name}: {failures[-1].reason} ({failures[-1].details})", file=sys.stderr, flush=True)
    return failures


def series_of(plan: Plan, method: str, shots: int) -> Series:
    """The finished runs of a method at a shot count, with the seeds that were asked for and the figure to show."""
    jobs = [job for job in plan.jobs if job.method == method and job.shots in (0, shots)]
    runs = [run for job in jobs if (run := status(job).run)]
    return make_series(method, [job.seed for job in jobs], runs, MEASURES[plan.show])


# -- in words --


def describe(job: Job) -> str:
    """A run in words."""
    shots = f", {counted(job.shots, 'shot')}, seed {job.seed}" if job.shots else ""
    return printable(f"{job.method} on {job.dataset}{shots}{job.note and ', '}{job.note}")


def first_line(error: BaseException) -> str:
    """An error's type and the first line of its message."""
    message = one_line(str(error).strip().split("\n")[0])
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def keep_traceback(folder: Path) -> str:
    """Write the current exception into the run's folder, and say where."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TRACEBACK, traceback.format_exc())
    except OSError as error:
        return f"its traceback could not be written: {error.strerror}"
    return f"details in {folder / TRACEBACK}"


def listed_failures(plan: Plan, failures: Sequence[Failure]) -> list[str]:
    """A line for each reason: the methods whose runs failed for it, and how many of theirs."""
    lines = []
    planned = Counter(job.method for job in plan.jobs)
    for reason in dict.fromkeys(failure.reason for failure in failures):
        same = [failure for failure in failures if failure.reason == reason]
        counts = Counter(failure.job.method for failure in same)
        methods = ", ".join(f"{method} ({count} of {planned[method]} runs)" for method, count in counts.items())
        details = f" ({'first: ' * (len(same) > 1)}{same[0].details})" if same[0].details else ""
        head = "Left to another process" if same[0].kind == ELSEWHERE else "Failed"
        lines.append(f"{head}: {methods}: {reason}{details}")
    return lines


def closing_line(failures: Sequence[Failure], count: int) -> str:
    """The runs that did not finish here, counted in a line."""
    elsewhere = sum(failure.kind == ELSEWHERE for failure in failures)
    failed = len(failures) - elsewhere
    parts = [f"{failed} of {count} runs failed; the same command runs only them again."] if failed else []
    if elsewhere:
        parts.append(f"{elsewhere} of {count} runs were left to another process; call this again when it has ended.")
    return " ".join(parts)
