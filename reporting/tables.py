"""Tables of accuracies, for the terminal and in Markdown."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from reporting.paired import Paired
from reporting.series import Series, Stat, check_same_tasks
from runs.results import Run

NOTHING = "-"
FIXED_SPACE = "\N{NO-BREAK SPACE}"
LEGEND = (
    "Accuracy in percent (C: mean over classes, otherwise overall); ± is the population standard deviation over seeds."
)
SHORT_NOTES = "[n] marks means of n finished seeds, fewer than were asked for."
METRICS = {"A": "overall", "C": "class mean"}


@dataclass
class Table:
    """Cells as text; ``best`` holds (row, column) of those to stress, ``rules`` the rows with a line above them.

    ``second`` holds the next best, which are told apart where there is room for it: in LaTeX and on a page.
    """

    header: list[str]
    rows: list[list[str]]
    left: int = 1  # so many leading columns are words, aligned to the left
    best: set[tuple[int, int]] = field(default_factory=set)
    rules: set[int] = field(default_factory=set)
    second: set[tuple[int, int]] = field(default_factory=set)

    def transposed(self, rules: Iterable[int] = ()) -> Table:
        """Rows become columns, with lines above the new rows ``rules``; for tables with one column of words."""
        cells = [list(column) for column in zip(self.header, *self.rows, strict=True)]
        best, second = ({(c - 1, r + 1) for r, c in marked} for marked in (self.best, self.second))
        return Table(cells[0], cells[1:], best=best, rules=set(rules), second=second)

    @property
    def width(self) -> int:
        """Columns that its text takes on a terminal."""
        return max(map(_width, self.text().splitlines()))

    def fitted(self, columns: int, rules: Iterable[int] = ()) -> Table:
        """This table if it is at most ``columns`` wide as text, and transposed otherwise."""
        return self if self.width <= columns else self.transposed(rules)

    def only(self, columns: Sequence[int]) -> Table:
        """Some of the columns, in the order given."""
        pick = lambda row: [row[c] for c in columns]  # noqa: E731
        best, second = (
            {(r, columns.index(c)) for r, c in marked if c in columns} for marked in (self.best, self.second)
        )
        return Table(pick(self.header), list(map(pick, self.rows)), self.left, best, set(self.rules), second)

    def headed(self, heads: dict[int, str]) -> Table:
        """With other headings for some columns."""
        header = [heads.get(c, head) for c, head in enumerate(self.header)]
        return Table(header, self.rows, self.left, self.best, self.rules, self.second)

    def text(self, bold: bool = False) -> str:
        """For a terminal: aligned columns, long headings over several lines; ``bold`` stresses the best."""
        heads = [textwrap.wrap(head, 14, break_long_words=False) or [""] for head in self.header]
        height = max(map(len, heads))
        heads = [[""] * (height - len(head)) + head for head in heads]
        lines = [list(line) for line in zip(*heads, strict=True)]
        widths = [max(map(_width, column)) for column in zip(*lines, *self.rows, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        out = [self._line(line, widths) for line in lines] + [rule]
        for r, row in enumerate(self.rows):
            out += [rule] if r in self.rules else []
            stressed = {c for c in range(len(row)) if bold and (r, c) in self.best}
            out.append(self._line(row, widths, stressed))
        return "\n".join(out).replace(FIXED_SPACE, " ")

    def _line(self, cells: list[str], widths: list[int], stressed: set[int] = frozenset()) -> str:
        parts = []
        for c, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            gap = " " * (width - _width(cell))
            cell = f"\033[1m{cell}\033[0m" if c in stressed else cell
            parts.append(cell + gap if c < self.left else gap + cell)
        return "  ".join(parts).rstrip()

    def markdown(self) -> str:
        """The same as a Markdown table, the best in bold."""
        marks = ["---" if c < self.left else "---:" for c in range(len(self.header))]
        body = [
            [f"**{_escape(cell)}**" if (r, c) in self.best else _escape(cell) for c, cell in enumerate(row)]
            for r, row in enumerate(self.rows)
        ]
        return "\n".join("| " + " | ".join(row) + " |" for row in [[_escape(h) for h in self.header], marks, *body])


def _width(text: str) -> int:
    """Columns that ``text`` takes on a terminal, where Chinese characters, for instance, take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace(FIXED_SPACE, " ")


def _unbroken(text: str) -> str:
    """``text`` such that a heading is not wrapped within it."""
    return text.replace(" ", FIXED_SPACE)


def percent(value: float) -> str:
    """``value`` with one decimal, or a dash when there is none."""
    return NOTHING if math.isnan(value) else f"{value:.1f}"


def spread(stat: Stat) -> str:
    """Mean ± standard deviation; of a single value the value alone, since its deviation says nothing."""
    deviation = f" ± {stat.std:.1f}" if stat.count > 1 and not math.isnan(stat.mean) else ""
    return percent(stat.mean) + deviation


def seconds(value: float) -> str:
    """A duration to two or more digits, or a dash when there is none."""
    return NOTHING if math.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _task_head(name: str, metric: str) -> str:
    return f"{name} (C)" if metric == "C" else name


def _stress(table: Table, columns: dict[int, list[float]]) -> None:
    """Marks in each of the columns the rows that read highest and second, if there is anything to compare."""
    for column, values in columns.items():
        shown = [-math.inf if math.isnan(value) else round(value, 1) for value in values]
        if sum(value > -math.inf for value in shown) > 1:
            ranked = sorted(set(shown) - {-math.inf}, reverse=True)
            for marked, place in ((table.best, 0), (table.second, 1)):
                marked |= {(row, column) for row, value in enumerate(shown) if value in ranked[place : place + 1]}


def seed_table(series: Series) -> Table:
    """One method: a row for every task and one for their mean, a column for every finished seed, then mean ± std.

    Where a single seed was asked for, its accuracies are the only column.
    """
    tasks = check_same_tasks([series])
    several = len(series.seeds) > 1
    heads = [f"seed {run.seed}" if several else "accuracy" for run in series.runs]
    heads += [f"mean ± std {_unbroken(series.note)}".strip()] * several
    table = Table(["task", "metric", *heads], [], left=2, rules={len(tasks)})

    def add(name: str, metric: str, value: Callable[[Run], float]) -> None:
        stat = [spread(series.over_seeds(value))] * several
        table.rows.append([name, metric, *(percent(value(run)) for run in series.runs), *stat])

    for i, (name, metric) in enumerate(tasks):
        add(name, METRICS.get(metric, metric), lambda run, i=i: run.tasks[i].accuracy)
    add("mean", "", lambda run: run.mean)
    return table


def _total(run: Run) -> float:
    return run.seconds["total"]


def method_table(many: Sequence[tuple[str, Series]], short: bool = False) -> Table:
    """Methods (label, runs) as rows: accuracy by task, mean ± std over seeds, trainable parameters, seconds a run.

    ``short``: what tells of missing seeds is as in SHORT_NOTES.
    """
    tasks = check_same_tasks([series for _, series in many])
    table = Table(["method", *(_task_head(*task) for task in tasks), "mean ± std", "parameters", "seconds a run"], [])
    columns: dict[int, list[float]] = {c: [] for c in range(1, len(tasks) + 2)}
    for label, series in many:
        stats = series.tasks() or [Stat.of([])] * len(tasks)
        mean = series.over_seeds(lambda run: run.mean)
        for c, stat in enumerate([*stats, mean], start=1):
            columns[c].append(stat.mean)
        cells = [percent(stat.mean) for stat in stats]
        cost = [f"{series.runs[0].parameters:,}" if series.runs else NOTHING, seconds(series.over_seeds(_total).mean)]
        note = series.short_note if short else series.note
        table.rows.append([f"{label} {note}".strip(), *cells, spread(mean), *cost])
    _stress(table, columns)
    return table


def shots_table(many: Sequence[tuple[str, Sequence[Series]]], shots: Sequence[int], short: bool = False) -> Table:
    """Methods (label, runs at each shot count) as rows: mean ± std over seeds at every shot count, then parameters.

    ``short``: what tells of missing seeds is as in SHORT_NOTES.
    """
    table = series_table(many, [f"{n} shot{'s' * (n != 1)}" for n in shots], short)
    table.header.append("parameters")
    for cells, (_, row) in zip(table.rows, many, strict=True):
        counts = [series.runs[0].parameters for series in row if series.runs]
        cells.append(f"{counts[-1]:,}" if counts else NOTHING)
    return table


def series_table(many: Sequence[tuple[str, Sequence[Series]]], heads: Sequence[str], short: bool = False) -> Table:
    """Rows (label, runs in each column) of mean ± std over seeds, under headings.

    ``short``: what tells of missing seeds is as in SHORT_NOTES.
    """
    check_same_tasks([series for _, row in many for series in row])
    table = Table(["method", *heads], [])
    columns: dict[int, list[float]] = {c: [] for c in range(1, len(heads) + 1)}
    for label, row in many:
        cells = []
        for c, series in enumerate(row, start=1):
            mean = series.over_seeds(lambda run: run.mean)
            columns[c].append(mean.mean)
            note = series.short_note if short else series.note
            cells.append(f"{spread(mean)} {note}".strip() if series.runs else NOTHING)
        table.rows.append([label, *cells])
    _stress(table, columns)
    return table


PAIRED_LEGEND = (
    "Row minus {against} in points, run by run on the same shots and seeds; seeds are averaged first, then tasks. "
    "95 % interval: Student's t over tasks{seeds}. * the interval leaves 0 out: unlikely by chance, "
    "though of twenty such intervals one does so by chance alone. Pairs: of task, shots and seed."
)
OVER_SEEDS = " (over seeds where there is one task: the chance of draws and training, nothing of other tasks)"


def paired_table(rows: Sequence[tuple[str, str, Paired]]) -> Table:
    """(method, shots, difference) as rows: difference, its interval, a mark, tasks won, pairs.

    Of rows of one method only the first names it, with a line above.
    """
    several = len({shots for _, shots, _ in rows}) > 1
    heads = ["method", *["shots"] * several, "difference", "95 % interval", "", "interval over", "tasks won", "pairs"]
    table = Table(heads, [], left=1)
    before = None
    for label, shots, d in rows:
        if several and label != before and before is not None:
            table.rules.add(len(table.rows))
        found = not math.isnan(d.low)
        table.rows.append([
            label if label != before else "",
            *[shots] * several,
            signed(d.mean),
            f"[{signed(d.low)}, {signed(d.high)}]" if found else NOTHING,
            "*" if d.significant else "",
            f"{d.units} {d.over}" if found else NOTHING,
            f"{d.won} of {d.tasks}" + f", {d.even} even" * (d.even > 0) if d.tasks else NOTHING,
            f"{d.pairs}" if d.pairs == d.asked else f"{d.pairs} of {d.asked}",
        ])  # fmt: skip
        before = label
    return table


def signed(value: float, digits: int = 1) -> str:
    """A difference in points with its sign, kept where it rounds to 0: [-0.0, +0.9] holds 0, [+0.0, +0.9] does not."""
    return NOTHING if math.isnan(value) else f"{value + 0.0:+.{digits}f}"
