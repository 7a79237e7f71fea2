"""The tables that commands print at the end: of one method, and of a comparison."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Sequence

from common.catalogue import METHODS, Method
from common.text import counted, wrapped
from launcher import together
from launcher.execution import Failure, describe, listed_failures, series_of
from launcher.plan import Plan
from reporting import comparison, tables
from reporting.measures import ACCURACY, MEASURES
from reporting.paired import paired
from reporting.series import Series


def method_summary(plan: Plan) -> str:
    """The table of a single method, and where its runs are."""
    series = series_of(plan, plan.methods[0].name, plan.shots[0] if plan.shots else 0)
    measure = MEASURES[plan.show]
    head = describe(plan.jobs[0]).split(", seed")[0] + f" ({plan.config})" + titled(plan)
    if not series.runs:
        return f"{head}: no finished run"
    train = series.over_seeds(lambda run: run.seconds["train"]).mean
    test = series.over_seeds(lambda run: run.seconds["test"]).mean
    folders = plan.jobs[0].folder.parent / ("seed" + ",".join(str(run.seed) for run in series.runs))
    legend = [] if measure is ACCURACY else [measure.legend]
    spread = ["± is the population standard deviation over seeds (as numpy's default)"] if len(series.runs) > 1 else []
    scores = together.together(plan, series.method, plan.shots[0]) if plan.shots else None
    figures = [measure.of(task) for task in scores] if isinstance(scores, tuple) else []
    figures = figures if all(map(math.isfinite, figures)) else []
    return "\n".join([
        head, "", tables.seed_table(series, figures).text(), "",
        *together.line(plan, [("", scores)]),
        f"{series.runs[0].parameters:,} trainable parameters; seconds a run: {tables.seconds(train)} training, "
        f"{tables.seconds(test)} testing",
        *(legend or spread),
        f"Runs: {folders}",
    ])  # fmt: skip


def comparison_summary(plan: Plan, failures: Sequence[Failure]) -> tuple[str, str]:
    """The comparison for the terminal and in Markdown; with several shot counts, Markdown has each one's tasks too."""
    series = {(m, n): series_of(plan, m.name, n) for m in plan.methods for n in plan.shots}
    by_shots = {n: [(m.label, series[m, n]) for m in plan.methods] for n in plan.shots}
    listed = ", ".join(map(str, plan.shots))
    title = f"{plan.dataset}, {listed} shot{'s' * (listed != '1')}, {plan.config}{titled(plan)}"
    legend = MEASURES[plan.show].legend
    columns = shutil.get_terminal_size((120, 24)).columns
    by_task = {n: tables.method_table(rows) for n, rows in by_shots.items()}
    markdown = [f"# {tables.markdown(title)}", ""]
    if len(plan.shots) == 1:
        top = comparison.one_shot_count(by_shots[plan.shots[0]], columns, bold())
    else:
        rows = [(m.label, [series[m, n] for n in plan.shots]) for m in plan.methods]
        top = comparison.several_shot_counts(rows, plan.shots, bold())
        markdown += [tables.shots_table(rows, plan.shots).markdown(), ""]
    for n, table in by_task.items():
        markdown += [f"## {counted(n, 'shot')}", ""] if len(plan.shots) > 1 else []
        markdown += [(table if table.width <= 200 else tables.tasks_as_rows(table)).markdown(), ""]
    zero_shot = any(not job.shots for job in plan.jobs)
    seeds = f"Seeds {', '.join(map(str, plan.seeds))}"
    seeds += " (zero-shot CLIP is deterministic, so it runs once)." if zero_shot else "."
    text = [title, "", top, "", *wrapped(legend, columns), *wrapped(seeds, columns)]
    markdown += [f"{legend} {seeds}", ""]
    for n in plan.shots:
        merged = together.line(plan, [(m.label, together.together(plan, m.name, n)) for m in plan.methods if m.learns])
        merged = [f"{line} ({counted(n, 'shot')})" if len(plan.shots) > 1 else line for line in merged]
        text += [part for line in merged for part in wrapped(line, columns)]
        markdown += [part for line in merged for part in (tables.markdown(line), "")]
    against = plan.comparison.against if plan.comparison else None
    if against:
        table, legend = differences(plan, against, series)
        head = f"Difference to {against.label}"
        text += ["", head, "", comparison.differences(table, columns), "", *wrapped(legend, columns)]
        markdown += [f"## {head}", "", table.markdown(), "", legend, ""]
    last = [*plan.left_out, *listed_failures(plan, failures)]
    if last:
        text += ["", *last]
        markdown += [*(f"- {tables.markdown(line)}" for line in last), ""]
    return "\n".join(text), "\n".join(markdown)


def differences(plan: Plan, against: Method, series: dict[tuple[Method, int], Series]) -> tuple[tables.Table, str]:
    """The difference of every other method to ``against``, by shot count and over all; and the legend."""
    rows = []
    for method in plan.methods:
        if method == against:
            continue
        cells = [(series[method, n], series[against, n]) for n in plan.shots]
        rows += [(method.label, str(n), paired([cell])) for n, cell in zip(plan.shots, cells, strict=True)]
        rows += [(method.label, "all", paired(cells))] if len(cells) > 1 else []
    over_seeds = tables.OVER_SEEDS if any(difference.over == "seeds" for *_, difference in rows) else ""
    return tables.paired_table(rows), tables.PAIRED_LEGEND.format(against=against.label, seeds=over_seeds)


def titled(plan: Plan) -> str:
    """What a table's title says of its figures, if these are not accuracies."""
    measure = MEASURES[plan.show]
    return "" if measure is ACCURACY else f": {measure.title}"


def bold() -> bool:
    """True if the terminal shows bold text."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def label_of(method: str) -> str:
    """A method's row in a table."""
    return METHODS[method].label
