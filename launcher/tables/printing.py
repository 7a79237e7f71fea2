"""The output of a table's script: the plan, the failures, and the table with its file."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.files import write_atomically
from common.paths import TRACEBACK
from common.text import counted, one_line, wrapped
from launcher import arguments, protocols
from launcher.execution import ELSEWHERE, FAILED, Failure, describe, series_of
from launcher.plan import Job
from launcher.protocols import BaseToNew, NewTasks
from launcher.summaries import bold, comparison_summary, label_of
from launcher.tables.chains import chains_of, last_line, seconds_like_authors, seconds_of
from launcher.tables.plan import TablePlan, title
from reporting import protocols as protocol_tables
from reporting import tables
from reporting.published import authors_minutes
from runs.results import RunError
from runs.status import status

LISTED = 20  # failures, a line each; more are counted
BASE_TO_NEW = (
    "Means over tasks, accuracy in percent: base images among base classes, new images among new classes, and their "
    "harmonic mean H."
)
NEW_TASKS = (
    "Means over tasks, accuracy in percent. Held out: runs trained on the other half of the tasks; zero-shot: "
    "CLIP with each task's template on the same test images; difference: held out minus zero-shot."
)


# -- the plan --


def plan_lines(plan: TablePlan, count: int) -> list[str]:
    """Runs by method: total, finished, failed before, to do, and their estimated time."""
    known: dict = {}
    seconds: dict[Path, float | None] = {}
    done = {job.folder for job in plan.jobs if status(job).settled}
    # Configs that changed since, or a run of an older version: running them compares their settings, at no cost.
    there = {job.folder for job in plan.jobs if job.folder not in done and status(job).run}
    rows, unknown, scaled = [], [], []
    for method in dict.fromkeys(job.method for job in plan.jobs):
        jobs = [job for job in plan.jobs if job.method == method]
        missing = [job for job in jobs if job.folder not in done]
        failed = [job for job in missing if (job.folder / TRACEBACK).exists()]
        own = {job.folder: 0.0 if job.folder in there else seconds_of(job, known) for job in missing}
        for job in missing:
            if own[job.folder] is None and job.of is None:
                own[job.folder] = seconds_like_authors(job, known)
                if own[job.folder] is not None:
                    scaled.append(label_of(method))
        seconds |= own
        if None in own.values():
            unknown.append(label_of(method))
        total = sum(seconds for seconds in own.values() if seconds is not None)
        time = "-" if not missing else "unknown" if None in own.values() else span(total)
        counts = (len(jobs), len(jobs) - len(missing), len(failed), len(missing))
        rows.append([label_of(method), *map(str, counts), time])
    table = tables.Table(["method", "runs", "finished", "failed before", "to do", "estimated time"], rows)
    if all(row[3] == "0" for row in rows):
        table = table.select([0, 1, 2, 4, 5])
    left = len(plan.jobs) - len(done)
    summary = f"{len(plan.jobs)} runs: {len(done)} finished, {left} to do"
    summary += estimate(plan, seconds, unknown, left - len(there), count)
    lines = [f"Plan of {title(plan)}", *plan.notes, "", table.text(), "", summary]
    if scaled:
        names = ", ".join(dict.fromkeys(scaled))
        lines.append(f"No run of {names} to go by: other methods' times, scaled by the authors' training times.")
    minutes = [taken for (name, _), taken in authors_minutes().items() if name == plan.dataset]
    if left and minutes and all(value is None for value in seconds.values()):
        lines.append(f"A training took the authors {min(minutes):g} to {max(minutes):g} minutes (GPU not stated).")
    if there:
        lines.append(f"Of those to do, {len(there)} have results; their settings are compared first.")
    return lines


def estimate(
    plan: TablePlan, seconds: Mapping[Path, float | None], unknown: Sequence[str], left: int, count: int
) -> str:
    """An estimate of the time of the remaining runs from finished ones; ``count`` processes share the chains."""
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
    """A duration in words, to about two digits."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes / 60
    return f"{minutes // 60} h {minutes % 60} min" if hours < 10 else f"{hours:.0f} h"


def submitted(ids: Sequence[str], logs: Path) -> list[str]:
    """What was submitted to the cluster, and how to follow it."""
    shown = ", ".join(ids[:10]) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
    return [
        f"Submitted {len(ids)} job{'s' * (len(ids) != 1)}: {shown}",
        f"Logs: {logs}/<job>_0_log.out and .err",
        "The same command with --dry-run shows what is finished. Call it again without --dry-run when these jobs have",
        "ended: it prints the table, or submits what is missing.",
    ]


# -- what failed --


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """A line for every failed run, with the last line of its log, and one for the runs of another process."""
    elsewhere = [failure for failure in failures if failure.kind == ELSEWHERE]
    failed = [failure for failure in failures if failure.kind != ELSEWHERE]
    lines = []
    for failure in failed[:LISTED]:
        last = last_line(failure.job)
        more = f" ({failure.job.folder}/{last})" if last and failure.kind == FAILED else ""
        lines.append(f"Failed: {described(failure.job)}: {failure.reason}{more}")
    if len(failed) > LISTED:
        lines.append(f"Failed: {len(failed) - LISTED} more")
    if elsewhere:
        runs = "; ".join(described(failure.job) for failure in elsewhere[:LISTED])
        lines.append(f"Left to another process, which is running them: {runs}{' ..' * (len(elsewhere) > LISTED)}")
    return lines


def described(job: Job) -> str:
    """A run in words, with its config's part of the folder."""
    trained = job.of or job
    return f"{describe(job)} ({trained.folder.parents[1].name})"


# -- the table --


def table(plan: TablePlan, failures: Sequence[Failure]) -> tuple[str, Path]:
    """The table for the terminal, and the Markdown file that it was written to as well."""
    kind = plan.declared.kind
    if kind == "methods":
        text, markdown = comparison_summary(plan.sections[0].plan, [])
    else:
        parts = {"backbones": backbones, "lengths": lengths, "base_to_new": base_to_new, "new_tasks": new_tasks}
        text, markdown = parts[kind](plan)
        text = f"{title(plan)}\n\n{text}"
        markdown = f"# {tables.markdown(title(plan))}\n\n{markdown}\n"
    last = [*plan.notes, *failure_lines(failures)]
    if last:
        markdown += "\n" + "".join(f"- {tables.markdown(line)}\n" for line in last)
    file = plan.request.output / plan.dataset / (arguments.folder_name(f"table_{plan.name}", plan.changes) + ".md")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, markdown)
    return text, file


def both(blocks: Sequence[tuple[str, tables.Table]], legend: str) -> tuple[str, str]:
    """Tables under headings, as text and in Markdown."""
    columns = shutil.get_terminal_size((120, 24)).columns
    text = "\n\n".join("\n\n".join(filter(None, [head, one.text(bold())])) for head, one in blocks)
    markdown = "\n\n".join("\n\n".join(filter(None, [head and f"## {head}", one.markdown()])) for head, one in blocks)
    return "\n".join([text, "", *wrapped(legend, columns)]), f"{markdown}\n\n{legend}\n"


def backbones(plan: TablePlan) -> tuple[str, str]:
    """Methods as rows, towers as columns, a table for every shot count."""
    heads = [section.variation.label for section in plan.sections]
    blocks = []
    for n in plan.request.shots:
        rows = []
        for method in dict.fromkeys(job.method for job in plan.jobs):
            row = [series_of(section.plan, method, n) for section in plan.sections]
            rows.append((label_of(method), row))
        blocks.append((counted(n, "shot"), tables.series_table(rows, heads)))
    return both(blocks, tables.LEGEND)


def lengths(plan: TablePlan) -> tuple[str, str]:
    """Lengths as rows, shots as columns, a table for every method."""
    blocks = []
    for method in plan.request.methods:
        rows = [
            (section.variation.label, [series_of(section.plan, method.name, n) for n in plan.request.shots])
            for section in plan.sections
        ]
        table = tables.shots_table(rows, plan.request.shots)
        blocks.append((method.label, table.with_headings({0: "lengths"})))
    legend = f"L: context vectors in a class prompt; M: in a task prompt. {tables.LEGEND}"
    return both(blocks, legend)


def base_to_new(plan: TablePlan) -> tuple[str, str]:
    """Methods as rows: the mean over tasks on base classes, on new ones, and H; every method's tasks in the file."""
    rows_by_shots: dict[int, list] = {n: [] for n in plan.request.shots}
    details = []
    for section in plan.sections:
        one = section.plan
        assert isinstance(one, BaseToNew)
        row = (one.methods[0].label, *protocols.base_to_new_series(one))
        for n in one.shots or plan.request.shots:  # zero-shot CLIP has a row for every shot count
            rows_by_shots[n].append(row)
        details.append(protocols.report(one))
    blocks = [(counted(n, "shot"), protocol_tables.base_to_new_summary(rows)) for n, rows in rows_by_shots.items()]
    return with_details(*both(blocks, f"{BASE_TO_NEW} {protocol_tables.SPREAD}"), details)


def new_tasks(plan: TablePlan) -> tuple[str, str]:
    """Methods as rows: the mean over held-out tasks, that of zero-shot CLIP, and the difference."""
    rows_by_shots: dict[int, list] = {n: [] for n in plan.request.shots}
    details = []
    for section in plan.sections:
        one = section.plan
        assert isinstance(one, NewTasks)
        rows_by_shots[one.shots[0]].append((one.methods[0].label, protocols.new_tasks_table(one)))
        details.append(protocols.report(one))
    blocks = [(counted(n, "shot"), protocol_tables.new_tasks_summary(rows)) for n, rows in rows_by_shots.items()]
    return with_details(*both(blocks, f"{NEW_TASKS} {protocol_tables.SPREAD}"), details)


def with_details(text: str, markdown: str, details: Sequence[str]) -> tuple[str, str]:
    """The terminal's text; for the file also every method's tasks."""
    return text, markdown + "".join(f"\n```\n{part}\n```\n" for part in details)


# -- the page --


def html_page(plan: TablePlan) -> str:
    """Write the collection's page, and say where it is, or why there is none."""
    try:
        from reporting.page import write_page  # takes seconds to import
    except ImportError as error:
        return f"No page: Python has no module '{error.name}'."

    try:
        return f"Page: {write_page(plan.request.output / plan.dataset, data=plan.request.data)}"
    except (RunError, OSError, ValueError) as error:  # the runs and their table exist all the same
        return f"No page: {one_line(error)}"
