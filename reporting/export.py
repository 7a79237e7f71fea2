"""Tables and runs for other programs: LaTeX as papers print it, and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from reporting.collection import Group, Row
from reporting.series import Series
from reporting.tables import FIXED_SPACE, Table

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "±": r"$\pm$", FIXED_SPACE: "~", "\n": " ",
}  # fmt: skip
RUN_FIELDS = (
    "dataset", "method", "config", "variant", "backbone", "shots", "seed", "task", "metric", "accuracy", "parameters",
    "train_seconds", "test_seconds", "folder",
)  # fmt: skip
SUMMARY_FIELDS = (
    "group", "method", "config", "variant", "shots", "seeds_finished", "seeds_asked", "mean", "std", "parameters",
    "seconds",
)  # fmt: skip


def escaped(text: str) -> str:
    """``text`` as LaTeX prints it, character by character."""
    return "".join(LATEX.get(character, character) for character in text)


def latex(table: Table, caption: str = "", label: str = "") -> str:
    """The table with booktabs' rules, the best of a column in bold and the second underlined.

    With a caption it is a float. The document needs ``\\usepackage{booktabs}``.
    """
    columns = "l" * table.left + "r" * (len(table.header) - table.left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(map(escaped, table.header)), r"\midrule"]
    for r, row in enumerate(table.rows):
        lines += [r"\midrule"] if r in table.rules and r else []
        cells = []
        for c, cell in enumerate(row):
            text = escaped(cell)
            text = rf"\textbf{{{text}}}" if (r, c) in table.best else text
            cells.append(rf"\underline{{{text}}}" if (r, c) in table.second else text)
        lines.append(_line(cells))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if caption:
        # Written by hand often enough to be known by heart: the caption above, as journals want tables.
        named = [rf"\label{{{label}}}"] if label else []
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", *named, *lines, r"\end{table}"]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + r" \\"
    # Behind the line above's \\ these would be taken for its options.
    return "{}" + line if line.startswith(("[", "*")) else line


def table_csv(table: Table) -> str:
    """The table's cells as they read."""
    return _csv([table.header, *table.rows])


def runs_csv(groups: Sequence[Group]) -> str:
    """A line for every run and task, accuracies in full; those that are no numbers are empty."""
    lines = []
    for run in sorted((run for group in groups for run in group.runs), key=lambda run: run.folder):
        seconds = (run.seconds["train"], run.seconds["test"])
        about = (run.dataset, run.method, run.config, run.variant, run.backbone, run.shots, run.seed)
        for task in run.tasks:
            score = (task.name, task.metric, number(task.accuracy))
            lines.append((*about, *score, run.parameters, *map(number, seconds), run.folder.as_posix()))
    return _csv([RUN_FIELDS, *lines])


def summary_csv(groups: Sequence[Group]) -> str:
    """A line for every row of every group and number of shots, with how many seeds the mean is over."""
    lines = []
    for group in groups:
        for row in group.rows:
            lines += [_summary(group, row, shots, series) for shots, series in sorted(row.by_shots.items())]
    return _csv([SUMMARY_FIELDS, *lines])


def _summary(group: Group, row: Row, shots: int, series: Series) -> tuple:
    mean = series.over_seeds(lambda run: run.mean)
    seconds = series.over_seeds(lambda run: run.seconds["total"]).mean
    finished, asked = len(series.runs), len(series.seeds)
    parameters = series.runs[0].parameters if series.runs else ""
    about = (group.title, row.method, row.config, row.variant, shots, finished, asked)
    # Of one value there is no deviation to tell.
    return (*about, number(mean.mean), number(mean.std) if finished > 1 else "", parameters, number(seconds))


def number(value: float) -> float | str:
    """A number as it is; nothing for one that is not finite."""
    return value if math.isfinite(value) else ""


def _csv(rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
