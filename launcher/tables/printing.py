"""What a table's script prints: the plan, what failed, and the table with its file."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import launch
import protocols
from launch import ELSEWHERE, Failure, describe, finished, series_of, settled, wrapped
from launch_plan import Job
from scripts.launch_methods import METHODS
from scripts.tables.chains import chains_of, last_line, seconds_of
from scripts.tables.planning import TablePlan, title

from reporting import protocols as protocol_tables
from reporting import tables
from reporting.series import make_series
from runs.results import RunError
from scripts import launch_words as words

LISTED = 20  # failures, one a line; more are counted
BASE_TO_NEW = (
    "Means over tasks, accuracy in percent: base images among base classes, new images among new classes, and their "
    "harmonic mean H."
)
NEW_TASKS = (
    "Means over tasks, accuracy in percent. Held out: of runs that were trained on the other half of the tasks; "
    "zero-shot: of CLIP with each task's template on the same test images; difference: the former minus the latter."
)


# -- the plan --


def plan_lines(plan: TablePlan, count: int) -> list[str]:
    """Runs by method: in all, finished, failed before, to do, and the time that they may take."""
    known: dict = {}
    seconds: dict[Path, float | None] = {}
    done = {job.folder for job in plan.jobs if settled(job)}
    # Younger configs than the run, or a run of an older version: train.run compares their settings, in no time.
    there = {job.folder for job in plan.jobs if job.folder not in done and finished(job)}
    rows, unknown = [], []
    for method in dict.fromkeys(job.method for job in plan.jobs):
        jobs = [job for job in plan.jobs if job.method == method]
        missing = [job for job in jobs if job.folder not in done]
        failed = [job for job in missing if (job.folder / launch.FAILURE).exists()]
        own = {job.folder: 0.0 if job.folder in there else seconds_of(job, known) for job in missing}
        seconds |= own
        if None in own.values():
            unknown.append(METHODS[method][2])
        time = "-" if not missing else "unknown" if None in own.values() else span(sum(own.values()))
        counts = (len(jobs), len(jobs) - len(missing), len(failed), len(missing))
        rows.append([METHODS[method][2], *map(str, counts), time])
    table = tables.Table(["method", "runs", "finished", "failed before", "to do", "estimated time"], rows)
    if all(row[3] == "0" for row in rows):
        table = table.only([0, 1, 2, 4, 5])
    left = len(plan.jobs) - len(done)
    summary = f"{len(plan.jobs)} runs: {len(done)} finished, {left} to do"
    summary += estimate(plan, seconds, unknown, left - len(there), count)
    lines = [f"Plan of {title(plan)}", *plan.told, "", table.text(), "", summary]
    if there:
        lines.append(f"Of those to do, {len(there)} have results; whether their settings are these is compared first.")
    return lines


def estimate(
    plan: TablePlan, seconds: Mapping[Path, float | None], unknown: Sequence[str], left: int, count: int
) -> str:
    """How long what is to do may take, as far as finished runs tell; ``count`` processes share it, and a chain has
    but one."""
    if not left:
        return ""
    chains = [sum(seconds.get(job.folder) or 0.0 for job in chain.jobs) for chain in chains_of(plan.jobs, plan.script)]
    shared, total = min(count, len(chains)), sum(chains)
    text = f"; estimated time{f' with {shared} at once' * (shared > 1)}, by finished runs: "
    if not total:
        return text + ("unknown" if unknown else "a moment")
    without = f", without {', '.join(unknown)}: no run of these to go by" if unknown else ""
    return text + span(max(total / shared, *chains)) + without


def span(seconds: float) -> str:
    """A duration as people say it, to two digits or so."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes / 60
    return f"{minutes // 60} h {minutes % 60} min" if hours < 10 else f"{hours:.0f} h"


def submitted(plan: TablePlan, ids: Sequence[str], logs: Path) -> list[str]:
    """What was given to the cluster, and how to hear of it."""
    shown = ", ".join(ids[:10]) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
    return [
        f"Submitted {len(ids)} job{'s' * (len(ids) != 1)}: {shown}",
        f"Logs: {logs}/<job>_0_log.out and .err",
        "The same command with --dry-run shows what is finished. Without it, call it again when these jobs have ended:",
        "it prints the table, or submits what is missing.",
    ]


# -- what failed --


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """A line for every run that failed, with the last line of its log, and one for what another process is doing."""
    elsewhere = [failure for failure in failures if failure.kind == ELSEWHERE]
    failed = [failure for failure in failures if failure.kind != ELSEWHERE]
    lines = []
    for failure in failed[:LISTED]:
        said = last_line(failure.job)
        more = f" ({failure.job.folder}/{said})" if said and failure.kind == launch.FAILED else ""
        lines.append(f"Failed: {described(failure.job)}: {failure.reason}{more}")
    if len(failed) > LISTED:
        lines.append(f"Failed: {len(failed) - LISTED} more")
    if elsewhere:
        runs = "; ".join(described(failure.job) for failure in elsewhere[:LISTED])
        lines.append(f"Left to another process, which is at work on them: {runs}{' ..' * (len(elsewhere) > LISTED)}")
    return lines


def described(job: Job) -> str:
    """A run in words, with what its config's part of the folder says."""
    trained = job.of or job
    return f"{describe(job)} ({trained.folder.parents[1].name})"


# -- the table --


def table(plan: TablePlan, failures: Sequence[Failure]) -> tuple[str, Path]:
    """The table for the terminal, and the Markdown file that it was written to as well."""
    kind = plan.declared.kind
    if kind == "methods":
        text, markdown = launch.report_comparison(plan.sections[0].plan, [])
    else:
        parts = {"backbones": backbones, "lengths": lengths, "base_to_new": base_to_new, "new_tasks": new_tasks}
        text, markdown = parts[kind](plan)
        text = f"{title(plan)}\n\n{text}"
        markdown = f"# {title(plan)}\n\n{markdown}\n"
    last = [*plan.told, *failure_lines(failures)]
    if last:
        markdown += "\n" + "".join(f"- {line}\n" for line in last)
    file = plan.request.output / plan.dataset / (words.folder_name(f"table_{plan.name}", list(plan.asked)) + ".md")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(markdown, "utf-8")
    return text, file


def both(blocks: Sequence[tuple[str, tables.Table]], legend: str) -> tuple[str, str]:
    """Tables under headings, as text and in Markdown."""
    columns = shutil.get_terminal_size((120, 24)).columns
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = "\n\n".join("\n\n".join(filter(None, [head, one.text(bold)])) for head, one in blocks)
    markdown = "\n\n".join("\n\n".join(filter(None, [head and f"## {head}", one.markdown()])) for head, one in blocks)
    return "\n".join([text, "", *wrapped(legend, columns)]), f"{markdown}\n\n{legend}\n"


def shots_head(n: int) -> str:
    return f"{n} shot{'s' * (n != 1)}"


def backbones(plan: TablePlan) -> tuple[str, str]:
    """Methods as rows, towers as columns, a table for every shot count."""
    heads = [section.variation.label for section in plan.sections]
    blocks = []
    for n in plan.request.shots:
        rows = []
        for method in dict.fromkeys(job.method for job in plan.jobs):
            row = [series_of(section.plan, method, n) for section in plan.sections]
            rows.append((METHODS[method][2], row))
        blocks.append((shots_head(n), tables.series_table(rows, heads)))
    return both(blocks, tables.LEGEND)


def lengths(plan: TablePlan) -> tuple[str, str]:
    """Lengths as rows, shots as columns, a table for every method."""
    blocks = []
    for method in plan.request.methods:
        rows = [
            (section.variation.label, [series_of(section.plan, method, n) for n in plan.request.shots])
            for section in plan.sections
        ]
        table = tables.shots_table(rows, plan.request.shots)
        blocks.append((METHODS[method][2], table.headed({0: "lengths"})))
    legend = f"L: context vectors in a class prompt; M: in a task prompt. {tables.LEGEND}"
    return both(blocks, legend)


def base_to_new(plan: TablePlan) -> tuple[str, str]:
    """Methods as rows: the mean over tasks on base classes, on new ones, and H; every method's tasks in the file."""
    rows_by_shots: dict[int, list] = {n: [] for n in plan.request.shots}
    details = []
    for section in plan.sections:
        one = section.plan
        label = METHODS[one.methods[0]][2]
        seeds = [job.seed for job in one.base]
        base, new = (
            make_series(one.methods[0], seeds, filter(None, map(finished, jobs))) for jobs in (one.base, one.new)
        )
        for n in one.shots or plan.request.shots:  # zero-shot CLIP stands beside every shot count
            rows_by_shots[n].append((label, base, new))
        details.append(protocols.report(one, finished))
    blocks = [(shots_head(n), protocol_tables.base_to_new_summary(rows)) for n, rows in rows_by_shots.items()]
    return with_details(*both(blocks, f"{BASE_TO_NEW} {protocol_tables.SPREAD}"), details)


def new_tasks(plan: TablePlan) -> tuple[str, str]:
    """Methods as rows: the mean over held-out tasks, that of zero-shot CLIP, and the difference."""
    rows_by_shots: dict[int, list] = {n: [] for n in plan.request.shots}
    details = []
    for section in plan.sections:
        one = section.plan
        whole = protocols.new_tasks_table(one, finished)
        rows_by_shots[one.shots[0]].append((METHODS[one.methods[0]][2], whole))
        details.append(protocols.report(one, finished))
    blocks = [(shots_head(n), protocol_tables.new_tasks_summary(rows)) for n, rows in rows_by_shots.items()]
    return with_details(*both(blocks, f"{NEW_TASKS} {protocol_tables.SPREAD}"), details)


def with_details(text: str, markdown: str, details: Sequence[str]) -> tuple[str, str]:
    """The file has what the terminal has, and every method's tasks below."""
    return text, markdown + "".join(f"\n```\n{part}\n```\n" for part in details)


# -- the page --


def html_page(plan: TablePlan) -> str:
    """Writes the collection's page, all in one file, and says where, or why there is none."""
    try:
        from reporting.page import write_page  # seconds to import, and not before there is something to show
    except ImportError as error:
        return f"No page: Python has no module '{error.name}'."

    labels = {method: label for method, (_, _, label) in METHODS.items()}
    try:
        return f"Page: {write_page(plan.request.output / plan.dataset, data=plan.request.data, labels=labels)}"
    except (RunError, OSError, ValueError) as error:  # the runs and their table are there all the same
        return f"No page: {' '.join(str(error).split())}"
