"""What stands behind scripts/softcpt/main.sh and its siblings: plans the runs of a command, runs what is missing in
one process, and prints a table.

    python scripts/launch.py softcpt|coop|zsclip|compare <dataset> <shots> [options]    --help says more
    python scripts/launch.py base_to_new|new_tasks <method> <dataset> <shots> [options]

Everything up to the first run uses the standard library alone, so that a misspelt name is told at once, and before
anything is installed: with --check as its first word it stops there and says by its exit status what the runs need.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import textwrap
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).resolve().parent
sys.path[:0] = [str(SCRIPTS.parent), str(SCRIPTS)]

import protocols  # noqa: E402
from launch_plan import Job, Plan, make_parser, make_plan  # noqa: E402
from scripts.launch_methods import ABOUT, METHODS  # noqa: E402
from scripts.launch_words import silence  # noqa: E402

from common.errors import Busy, InputError, unknown  # noqa: E402
from common.paths import EVALUATION, RESULTS  # noqa: E402
from reporting import comparison, tables  # noqa: E402
from reporting.paired import paired  # noqa: E402
from reporting.series import Series, make_series  # noqa: E402
from runs.results import Run, RunError, read_run  # noqa: E402

# Exit statuses of --check beside 0 and 2, for scripts/setup_env.sh.
NEEDS_OPENCLIP, ANSWERED = 10, 11

FAILURE = "traceback.txt"
INPUTS = "configs.sha256"  # what a run's config files held, by a hash


FAILED, REFUSED, ELSEWHERE = "failed", "refused", "another process is at it"


class Failure(NamedTuple):
    """A run that did not come to an end here: why, in a line, and where more is told, if anywhere.

    ``kind`` is FAILED, REFUSED for what the user has to mend, or ELSEWHERE, which is no failure.
    """

    job: Job
    reason: str
    details: str = ""
    kind: str = FAILED


def results_of(job: Job) -> Path:
    """The file whose mark says that a job's run is finished."""
    return job.folder / (RESULTS if job.of is None else EVALUATION)


def finished(job: Job) -> Run | None:
    """The job's run if it is finished; None if it has to run (again)."""
    try:
        run = read_run(job.folder, results_of(job).name)
    except RunError:
        return None
    trains = job.shots and job.of is None  # an evaluation draws no shots
    if (run.method, run.seed) != (job.method, job.seed) or (trains and run.shots != job.shots):
        raise InputError(
            f"{job.folder} holds a run of {run.method} with {run.shots} shots and seed {run.seed}, "
            "which does not belong there; move it away."
        )
    return run if job.of is None or still_evaluates(run, job) else None


def still_evaluates(run: Run, job: Job) -> bool:
    """Is an evaluation one of what the run that it evaluated holds now?

    Runs say which checkpoint they ended with, if they are not older than that; a run that was redone is younger than
    its evaluation, even where it came to the same.
    """
    trained = finished(job.of)
    if trained is None or (trained.checkpoint and trained.checkpoint != run.checkpoint):
        return False
    return results_of(job.of).stat().st_mtime_ns <= results_of(job).stat().st_mtime_ns


def settled(job: Job) -> bool:
    """Is the job's run finished, and made from config files with just the content that they have now?

    If not, it is train.run's to compare the settings, and to report or to refuse the run. Times of files do not tell:
    another file of the same name may be older than the run.
    """
    if finished(job) is None:
        return False
    try:
        return (job.folder / INPUTS).read_text("utf-8") == inputs_of(job)
    except (OSError, ValueError):
        return False


def inputs_of(job: Job) -> str:
    """A hash of the files that a job reads."""
    digest = hashlib.sha256()
    for path in job.files:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def import_train(script: str):
    """train.py, with PyTorch behind it: seconds, spent once."""
    try:
        import train
    except ModuleNotFoundError as error:
        raise InputError(
            f"Python has no module '{error.name}'; call bash {script}, which installs what is needed."
        ) from error
    return train


def task_names(job: Job, script: str) -> list[str]:
    """The names of the tasks that a job is about: from its results if there are any, since that needs no PyTorch."""
    if settled(job):
        return [task.name for task in finished(job).tasks]
    return import_train(script).task_names(job.argv)


def run_missing(plan: Plan) -> list[Failure]:
    """Runs the jobs that are not settled, all in this process, and returns those that failed.

    What a user has to mend (InputError) ends the command. In a comparison it may be about one method alone, such as a
    tower that it cannot do: the others go on, unless none has a run and all say the same.
    """
    missing = [job for job in plan.jobs if not settled(job)]
    if len(missing) < len(plan.jobs):
        done = len(plan.jobs) - len(missing)
        told = f"{done} of {len(plan.jobs)} runs are" if len(plan.jobs) > 1 else "The run is"
        print(f"{told} finished already.", flush=True)
    failures = run_jobs(missing, plan.script, range(1, len(missing) + 1), len(missing), plan.command == "compare")
    if len(failures) == len(plan.jobs) and same_refusal(failures):
        raise InputError(failures[0].reason)
    return failures


def same_refusal(failures: Sequence[Failure]) -> bool:
    """Has the user to mend the same thing for all of these?"""
    return {failure.kind for failure in failures} == {REFUSED} and len({failure.reason for failure in failures}) == 1


def run_jobs(jobs: Sequence[Job], script: str, numbers: Sequence[int], count: int, go_on: bool = True) -> list[Failure]:
    """Runs jobs in this process, one after the other, and returns those that did not come to an end.

    ``numbers`` are theirs among ``count``, for the eye. Unless they are to ``go_on``, what a user has to mend raises.
    """
    if not jobs:
        return []
    train = import_train(script)
    failures: list[Failure] = []
    refused: dict[tuple[str, int], str] = {}  # by method and shots: another seed would not help
    for number, job in zip(numbers, jobs, strict=True):
        if (job.method, job.shots) in refused:
            failures.append(Failure(job, refused[job.method, job.shots], kind=REFUSED))
            continue
        name = describe(job)
        if job.of is not None and finished(job.of) is None:
            print(f"[{number}/{count}] {name}: the run to be tested is not finished", flush=True)
            continue
        print(f"[{number}/{count}] {name}", flush=True)
        try:
            train.run(job.argv, brief=True)
            read_run(job.folder, results_of(job).name)
            (job.folder / INPUTS).write_text(inputs_of(job), "utf-8")
            (job.folder / FAILURE).unlink(missing_ok=True)
        except BrokenPipeError:  # nobody listens any more, as behind | head
            raise
        except Busy as error:
            failures.append(Failure(job, str(error), kind=ELSEWHERE))
            print(f"Left to another process: {name}", flush=True)
        except InputError as error:
            if not go_on:
                raise
            refused[job.method, job.shots] = " ".join(str(error).splitlines())
            failures.append(Failure(job, refused[job.method, job.shots], kind=REFUSED))
            print(f"Not possible: {refused[job.method, job.shots]}", flush=True)
        except (Exception, SystemExit) as error:  # one run that fails must not cost the others
            failures.append(Failure(job, first_line(error), keep_traceback(job.folder)))
            print(f"Failed: {name}: {failures[-1].reason} ({failures[-1].details})", file=sys.stderr, flush=True)
    return failures


def listed_failures(plan: Plan, failures: Sequence[Failure]) -> list[str]:
    """A line for each reason: the methods whose runs failed for it, and how many of theirs."""
    lines = []
    planned = Counter(job.method for job in plan.jobs)
    for reason in dict.fromkeys(failure.reason for failure in failures):
        alike = [failure for failure in failures if failure.reason == reason]
        counts = Counter(failure.job.method for failure in alike)
        methods = ", ".join(f"{method} ({count} of {planned[method]} runs)" for method, count in counts.items())
        details = f" ({'first: ' * (len(alike) > 1)}{alike[0].details})" if alike[0].details else ""
        head = "Left to another process" if alike[0].kind == ELSEWHERE else "Failed"
        lines.append(f"{head}: {methods}: {reason}{details}")
    return lines


def describe(job: Job) -> str:
    shots = f", {job.shots} shot{'s' * (job.shots != 1)}, seed {job.seed}" if job.shots else ""
    return f"{job.method} on {job.dataset}{shots}{job.note and ', '}{job.note}"


def first_line(error: BaseException) -> str:
    said = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def keep_traceback(folder: Path) -> str:
    """Writes the current exception into the run's folder, and says where."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).write_text(traceback.format_exc(), "utf-8")
    except OSError as error:
        return f"its traceback could not be written: {error.strerror}"
    return f"details in {folder / FAILURE}"


def series_of(plan: Plan, method: str, shots: int) -> Series:
    """The finished runs of a method at a shot count, with the seeds that were asked for."""
    jobs = [job for job in plan.jobs if job.method == method and job.shots in (0, shots)]
    runs = [run for job in jobs if (run := finished(job))]
    return make_series(method, [job.seed for job in jobs], runs)


def report_method(plan: Plan) -> str:
    """The table of a single method, and where its runs are."""
    series = series_of(plan, plan.methods[0], plan.shots[0] if plan.shots else 0)
    head = describe(plan.jobs[0]).split(", seed")[0] + f" ({plan.config})"
    if not series.runs:
        return f"{head}: no finished run"
    train, test = (series.over_seeds(lambda run, part=part: run.seconds[part]).mean for part in ("train", "test"))
    folders = plan.jobs[0].folder.parent / ("seed" + ",".join(str(run.seed) for run in series.runs))
    return "\n".join([
        head, "", tables.seed_table(series).text(), "",
        f"{series.runs[0].parameters:,} trainable parameters; seconds a run: {tables.seconds(train)} training, "
        f"{tables.seconds(test)} testing",
        *(["± is the population standard deviation over seeds (as numpy's default)"] if len(series.runs) > 1 else []),
        f"Runs: {folders}",
    ])  # fmt: skip


def report_comparison(plan: Plan, failures: Sequence[Failure]) -> tuple[str, str]:
    """The comparison for the terminal and in Markdown; with several shot counts, Markdown has each one's tasks too."""
    label = {method: METHODS[method][2] for method in plan.methods}
    series = {(m, n): series_of(plan, m, n) for m in plan.methods for n in plan.shots}
    by_shots = {n: [(label[m], series[m, n]) for m in plan.methods] for n in plan.shots}
    listed = ", ".join(map(str, plan.shots))
    title = f"{plan.dataset}, {listed} shot{'s' * (listed != '1')}, {plan.config}"
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    columns = shutil.get_terminal_size((120, 24)).columns
    by_task = {n: tables.method_table(rows) for n, rows in by_shots.items()}
    markdown = [f"# {title}", ""]
    if len(plan.shots) == 1:
        top = comparison.one_shot_count(by_shots[plan.shots[0]], columns, bold)
    else:
        rows = [(label[m], [series[m, n] for n in plan.shots]) for m in plan.methods]
        top = comparison.several_shot_counts(rows, plan.shots, bold)
        markdown += [tables.shots_table(rows, plan.shots).markdown(), ""]
    for n, table in by_task.items():
        markdown += [f"## {n} shot{'s' * (n != 1)}", ""] if len(plan.shots) > 1 else []
        # The line above the means, should tasks be rows: behind a method's tasks come mean, parameters, seconds.
        markdown += [table.fitted(200, [len(table.header) - 4]).markdown(), ""]
    seeds = f"Seeds {', '.join(map(str, plan.seeds))}" + (
        " (zero-shot CLIP has no chance in it and runs once)." if any(not job.shots for job in plan.jobs) else "."
    )
    text = [title, "", top, "", *wrapped(tables.LEGEND, columns), *wrapped(seeds, columns)]
    markdown += [f"{tables.LEGEND} {seeds}", ""]
    if plan.against:
        table, legend = differences(plan, series)
        head = f"Difference to {label[plan.against]}"
        text += ["", head, "", comparison.differences(table, columns), "", *wrapped(legend, columns)]
        markdown += [f"## {head}", "", table.markdown(), "", legend, ""]
    last = [*plan.left_out, *listed_failures(plan, failures)]
    if last:
        text += ["", *last]
        markdown += [*(f"- {line}" for line in last), ""]
    return "\n".join(text), "\n".join(markdown)


def differences(plan: Plan, series: dict[tuple[str, int], Series]) -> tuple[tables.Table, str]:
    """What every other method reaches minus what ``plan.against`` does, by shot count and over all; and the legend."""
    rows = []
    for method in plan.methods:
        if method == plan.against:
            continue
        cells = [(series[method, n], series[plan.against, n]) for n in plan.shots]
        rows += [(METHODS[method][2], str(n), paired([cell])) for n, cell in zip(plan.shots, cells, strict=True)]
        rows += [(METHODS[method][2], "all", paired(cells))] if len(cells) > 1 else []
    over_seeds = tables.OVER_SEEDS if any(d.over == "seeds" for *_, d in rows) else ""
    return tables.paired_table(rows), tables.PAIRED_LEGEND.format(against=METHODS[plan.against][2], seeds=over_seeds)


def wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status: 0, 2 for bad input, 1 when a run failed, 130 when interrupted."""
    return answered(argv, _answer)


def _answer(command: str, rest: list[str], own: list[str], check: bool) -> int:
    known = {**ABOUT, **protocols.ABOUT}
    if command not in known:
        raise unknown("Command", command, known)
    by_protocol = command in protocols.ABOUT
    if asks_for_help(own):
        (protocols.make_parser(command, own[0]) if by_protocol else make_parser(command)).print_help()
        return ANSWERED if check else 0
    if by_protocol:
        plan = protocols.make_plan(command, rest, None if check else task_names)
    else:
        plan = make_plan(command, rest)
    if check:
        return NEEDS_OPENCLIP if plan.needs_openclip else 0
    return carry_out(plan)


def asks_for_help(own: Sequence[str]) -> bool:
    return "-h" in own or "--help" in own


def answered(argv: Sequence[str] | None, answer: Callable[[str, list[str], list[str], bool], int]) -> int:
    """A command line's exit status: what ``answer`` gives, 2 for bad input, told in one line, 130 when interrupted.

    ``answer`` gets the first word, those behind it, the part of these before "--", and whether only to check them.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    check = argv[:1] == ["--check"]
    command, *rest = (argv[1:] if check else argv) or [""]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without ± must not end a run
            stream.reconfigure(errors="replace")
    try:
        status = answer(command, rest, rest[: rest.index("--")] if "--" in rest else rest, check)
        sys.stdout.flush()  # here, where a reader that has gone away is noticed quietly
        return status
    except (InputError, RunError) as error:
        print(" ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from where it was.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        silence()
        return 141


def carry_out(plan: Plan) -> int:
    """Runs, reports, and returns the exit status."""
    started = time.monotonic()
    for line in plan.left_out:
        print(line, flush=True)
    failures = run_missing(plan)
    if plan.command == "compare":
        text, markdown = report_comparison(plan, failures)
        file = plan.output / plan.dataset / plan.report
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(markdown, "utf-8")
        text += f"\nAlso in {file}"
    elif plan.command in protocols.ABOUT:
        text = protocols.report(plan, finished)
    else:
        text = report_method(plan)
    print(f"\n{text}\nDone in {time.monotonic() - started:.0f} s", flush=True)
    if failures:
        print(told_at_the_end(failures, len(plan.jobs)), file=sys.stderr)
    return 1 if failures else 0


def told_at_the_end(failures: Sequence[Failure], count: int) -> str:
    """What became of the runs that did not come to an end here, in a line."""
    elsewhere = sum(failure.kind == ELSEWHERE for failure in failures)
    failed = len(failures) - elsewhere
    told = [f"{failed} of {count} runs failed; the same command runs only them again."] if failed else []
    if elsewhere:
        told.append(f"{elsewhere} of {count} runs were left to another process; call this again when it has ended.")
    return " ".join(told)


if __name__ == "__main__":
    sys.exit(main())
