"""Tables of accuracies, for the terminal and in Markdown."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from common.text import columns_of, counted, printable
from reporting.measures import ACCURACY
from reporting.paired import Paired
from reporting.series import Series, Stat, check_same_tasks, guessed
from runs.results import Run

NOTHING = "-"
CHANCE = "Chance"  # the row; as a column it is in lower case
FIXED_SPACE = "\N{NO-BREAK SPACE}"
LEGEND = ACCURACY.legend
SHORT_NOTES = "[n]: mean over n finished seeds, fewer than requested."
METRICS = {"A": "overall", "C": "class mean"}


@dataclass
class Table:
    """Cells as text; ``best`` holds the (row, column) of cells to emphasise, ``rules`` the rows with a line above.

    ``second`` holds the second best, which are marked where the format has a way to: in LaTeX and on a page.
    """

    header: list[str]
    rows: list[list[str]]
    left: int = 1  # number of leading text columns, aligned to the left
    best: set[tuple[int, int]] = field(default_factory=set)
    rules: set[int] = field(default_factory=set)
    second: set[tuple[int, int]] = field(default_factory=set)

    def transposed(self, rules: Iterable[int] = ()) -> Table:
        """Swap rows and columns, with lines above the new rows ``rules``; for tables with one text column."""
        cells = [list(column) for column in zip(self.header, *self.rows, strict=True)]
        best, second = ({(c - 1, r + 1) for r, c in marked} for marked in (self.best, self.second))
        return Table(cells[0], cells[1:], best=best, rules=set(rules), second=second)

    @property
    def width(self) -> int:
        """Width of the text in terminal columns."""
        return max(map(columns_of, self.text().splitlines()))

    def select(self, columns: Sequence[int]) -> Table:
        """The given columns, in the given order."""

        def pick(row: list[str]) -> list[str]:
            return [row[c] for c in columns]

        best, second = (
            {(r, columns.index(c)) for r, c in marked if c in columns} for marked in (self.best, self.second)
        )
        return Table(pick(self.header), list(map(pick, self.rows)), self.left, best, set(self.rules), second)

    def with_headings(self, headings: dict[int, str]) -> Table:
        """The same table with other headings for some columns."""
        header = [headings.get(c, heading) for c, heading in enumerate(self.header)]
        return Table(header, self.rows, self.left, self.best, self.rules, self.second)

    def shown(self) -> Table:
        """The same table without line breaks and control characters in its cells, which names may have."""
        header, *rows = ([printable(cell).replace("\n", " ") for cell in row] for row in [self.header, *self.rows])
        return replace(self, header=header, rows=rows)

    def text(self, bold: bool = False) -> str:
        """The table for a terminal, with long headings wrapped; ``bold`` emphasises the best."""
        return self.shown()._text(bold)

    def _text(self, bold: bool) -> str:
        heads = [textwrap.wrap(head, 14, break_long_words=False) or [""] for head in self.header]
        height = max(map(len, heads))
        heads = [[""] * (height - len(head)) + head for head in heads]
        lines = [list(line) for line in zip(*heads, strict=True)]
        widths = [max(map(columns_of, column)) for column in zip(*lines, *self.rows, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        out = [self._line(line, widths) for line in lines] + [rule]
        for r, row in enumerate(self.rows):
            out += [rule] if r in self.rules else []
            emphasised = {c for c in range(len(row)) if bold and (r, c) in self.best}
            out.append(self._line(row, widths, emphasised))
        return "\n".join(out).replace(FIXED_SPACE, " ")

    def _line(self, cells: list[str], widths: list[int], emphasised: Collection[int] = ()) -> str:
        parts = []
        for c, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            gap = " " * (width - columns_of(cell))
            cell = f"\033[1m{cell}\033[0m" if c in emphasised else cell
            parts.append(cell + gap if c < self.left else gap + cell)
        return "  ".join(parts).rstrip()

    def markdown(self) -> str:
        """The table in Markdown, with the best in bold."""
        marks = ["---" if c < self.left else "---:" for c in range(len(self.header))]
        shown = self.shown()
        body = [
            [f"**{markdown(cell)}**" if (r, c) in self.best else markdown(cell) for c, cell in enumerate(row)]
            for r, row in enumerate(shown.rows)
        ]
        lines = [[markdown(heading) for heading in shown.header], marks, *body]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(text: str) -> str:
    """``text`` as it is in Markdown, in a table too: its pipes, HTML and links are shown, and have no effect."""
    text = printable(text).replace("\n", " ").replace(FIXED_SPACE, " ")
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")
    return text.replace("|", "\\|").replace("](", "]\\(").replace("`", "\\`")


def _unbroken(text: str) -> str:
    """``text`` with no-break spaces, so that it is not wrapped in a heading."""
    return text.replace(" ", FIXED_SPACE)


def percent(value: float) -> str:
    """``value`` with one decimal, or a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.1f}"


def spread(stat: Stat) -> str:
    """Mean ± standard deviation; only the mean for a single value."""
    deviation = f" ± {stat.std:.1f}" if stat.count > 1 and not math.isnan(stat.mean) else ""
    return percent(stat.mean) + deviation


def seconds(value: float) -> str:
    """A duration to at least two digits, or a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def shots_of(shots: int) -> str:
    """ "4 shots", "no training images" for 0, "all images" for -1."""
    return counted(shots, "shot") if shots > 0 else "no training images" if shots == 0 else "all images"


def chance_cell(value: float) -> str:
    """What guessing gives, with one decimal; empty if it is not known."""
    return "" if math.isnan(value) else percent(value)


def _task_heading(name: str, metric: str) -> str:
    return f"{name} (C)" if metric == "C" else name


def _emphasise(table: Table, columns: dict[int, list[float]], series: Iterable[Series]) -> None:
    """Mark the best and second best values of each column, as printed, if there are at least two."""
    sign = -1 if any(one.measure.lowest for one in series) else 1
    for column, values in columns.items():
        shown = [-math.inf if math.isnan(value) else sign * round(value, 1) for value in values]
        if sum(value > -math.inf for value in shown) > 1:
            ranked = sorted(set(shown) - {-math.inf}, reverse=True)
            for marked, place in ((table.best, 0), (table.second, 1)):
                marked |= {(row, column) for row, value in enumerate(shown) if value in ranked[place : place + 1]}


def seed_table(series: Series, together: Sequence[float] = ()) -> Table:
    """One method: a row per task and one for their mean, a column per finished seed, then mean ± std.

    If only one seed was requested, its figures are the only column. ``together``: each task's figure for all seeds as
    one classifier, in a further column. Before accuracies comes chance.
    """
    tasks, chances = check_same_tasks([series]), guessed([series])
    several = len(series.seeds) > 1
    headings = [f"seed {run.seed}" if several else series.measure.title for run in series.runs]
    headings += [f"mean ± std {_unbroken(series.note)}".strip()] * several + ["together"] * bool(together)
    headings = [CHANCE.lower()] * bool(chances) + headings
    table = Table(["task", "metric", *headings], [], left=2, rules={len(tasks)})

    def add(
        name: str, metric: str, value: Callable[[Run], float], whole: Sequence[float], chance: Sequence[float]
    ) -> None:
        stat = [spread(series.over_seeds(value))] * several
        stat += [percent(fmean(whole))] if whole else []
        first = [chance_cell(fmean(chance))] if chance else []
        table.rows.append([name, metric, *first, *(percent(value(run)) for run in series.runs), *stat])

    for i, (name, metric) in enumerate(tasks):
        add(name, METRICS.get(metric, metric), series.measure.at(i), together[i : i + 1], chances[i : i + 1])
    add("mean", "", series.measure.mean, together, chances)
    return table


def method_table(many: Sequence[tuple[str, Series]], short: bool = False) -> Table:
    """A row per method (label, runs): accuracy by task, mean ± std over seeds, trainable parameters, seconds a run.

    Before accuracies comes a row for chance. ``short``: missing seeds are noted as in SHORT_NOTES.
    """
    tasks = check_same_tasks([series for _, series in many])
    headings = [_task_heading(*task) for task in tasks]
    table = Table(["method", *headings, "mean ± std", "parameters", "seconds a run"], [])
    columns: dict[int, list[float]] = {c: [] for c in range(1, len(tasks) + 2)}
    chances = guessed(series for _, series in many)
    if chances:
        _add_chance(table, [*chances, fmean(chances)], columns)
    for label, series in many:
        stats = series.tasks() or [Stat.of([])] * len(tasks)
        for c, stat in enumerate([*stats, series.mean], start=1):
            columns[c].append(stat.mean)
        cells = [percent(stat.mean) for stat in stats]
        total = series.over_seeds(lambda run: run.seconds["total"])
        cost = [f"{series.runs[0].parameters:,}" if series.runs else NOTHING, seconds(total.mean)]
        note = series.short_note if short else series.note
        table.rows.append([f"{label} {note}".strip(), *cells, spread(series.mean), *cost])
    _emphasise(table, columns, (series for _, series in many))
    return table


def _add_chance(table: Table, values: Sequence[float], columns: dict[int, list[float]]) -> None:
    """Add the row of what guessing gives, which is never marked as the best."""
    cells = [CHANCE, *map(chance_cell, values)]
    table.rows.append(cells + [""] * (len(table.header) - len(cells)))
    for column in columns.values():
        column.append(math.nan)


def tasks_as_rows(table: Table) -> Table:
    """A `method_table` with a row per task, and a line above mean, parameters and seconds."""
    turned = table.transposed(rules=[len(table.header) - 4])
    return turned.with_headings({1: CHANCE.lower()}) if turned.header[1:2] == [CHANCE] else turned


def shots_table(many: Sequence[tuple[str, Sequence[Series]]], shots: Sequence[int], short: bool = False) -> Table:
    """A row per method (label, runs at each shot count): mean ± std over seeds at each shot count, then parameters.

    ``short``: missing seeds are noted as in SHORT_NOTES.
    """
    table = series_table(many, [shots_of(n) for n in shots], short)
    table.header.append("parameters")
    lines = table.rows[len(table.rows) - len(many) :]
    for cells in table.rows[: -len(many)]:
        cells.append("")
    for cells, (_, row) in zip(lines, many, strict=True):
        counts = [series.runs[0].parameters for series in row if series.runs]
        cells.append(f"{counts[-1]:,}" if counts else NOTHING)
    return table


def series_table(many: Sequence[tuple[str, Sequence[Series]]], headings: Sequence[str], short: bool = False) -> Table:
    """Mean ± std over seeds, with a row per entry (label, runs in each column).

    Before accuracies comes a row for chance. ``short``: missing seeds are noted as in SHORT_NOTES.
    """
    check_same_tasks([series for _, row in many for series in row])
    table = Table(["method", *headings], [])
    columns: dict[int, list[float]] = {c: [] for c in range(1, len(headings) + 1)}
    chances = guessed(series for _, row in many for series in row)
    if chances:
        _add_chance(table, [fmean(chances)] * len(headings), columns)
    for label, row in many:
        cells = []
        for c, series in enumerate(row, start=1):
            columns[c].append(series.mean.mean)
            note = series.short_note if short else series.note
            cells.append(f"{spread(series.mean)} {note}".strip() if series.runs else NOTHING)
        table.rows.append([label, *cells])
    _emphasise(table, columns, (series for _, row in many for series in row))
    return table


PAIRED_LEGEND = (
    "Row minus {against} in points, paired by shots and seed, averaged over seeds and then over tasks. "
    "95 % interval: Student's t over tasks{seeds}. * the interval excludes 0: unlikely by chance, "
    "although one in twenty such intervals does so by chance alone. Pairs: (task, shots, seed)."
)
OVER_SEEDS = " (over seeds if there is only one task: it then covers random draws and training, not other tasks)"


def paired_table(rows: Sequence[tuple[str, str, Paired]]) -> Table:
    """A row per (method, shots, difference): difference, its interval, a mark, tasks won, pairs.

    Only the first of several rows of one method names it, with a line above.
    """
    several = len({shots for _, shots, _ in rows}) > 1
    header = ["method", *["shots"] * several, "difference", "95 % interval", "", "interval over", "tasks won", "pairs"]
    table = Table(header, [], left=1)
    previous = None
    for label, shots, d in rows:
        if several and label != previous and previous is not None:
            table.rules.add(len(table.rows))
        has_interval = not math.isnan(d.low)
        table.rows.append([
            label if label != previous else "",
            *[shots] * several,
            signed(d.mean),
            f"[{signed(d.low)}, {signed(d.high)}]" if has_interval else NOTHING,
            "*" if d.significant else "",
            f"{d.units} {d.over}" if has_interval else NOTHING,
            f"{d.won} of {d.tasks}" + f", {d.even} even" * (d.even > 0) if d.tasks else NOTHING,
            f"{d.pairs}" if d.pairs == d.requested else f"{d.pairs} of {d.requested}",
        ])  # fmt: skip
        previous = label
    return table


def signed(value: float, digits: int = 1) -> str:
    """A difference in points with its sign, kept if it rounds to 0: [-0.0, +0.9] holds 0, [+0.0, +0.9] does not."""
    return NOTHING if math.isnan(value) else f"{value + 0.0:+.{digits}f}"
