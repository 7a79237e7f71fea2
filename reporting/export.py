"""Tables and runs for other programs: LaTeX for papers, and CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from statistics import fmean

from common.chance import chance
from common.text import printable
from reporting.collection import Group, Row
from reporting.series import Series, guessed
from reporting.tables import FIXED_SPACE, Table

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "±": r"$\pm$", FIXED_SPACE: "~", "\n": " ",
}  # fmt: skip
FORMULA = ("=", "+", "-", "@")
# What tables print themselves: a dash, a number, a mean with its deviation and a note on its seeds.
FIGURE = re.compile(rf"-|[-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?(?: ± [\d.]+)?(?:[ {FIXED_SPACE}]\(\d+ of \d+ seeds\))?")
RUN_FIELDS = (
    "dataset", "method", "config", "variant", "backbone", "shots", "seed", "task", "metric", "accuracy", "parameters",
    "train_seconds", "test_seconds", "folder", "temperature", "ece", "ece_uncalibrated", "chance",
)  # fmt: skip
SUMMARY_FIELDS = (
    "group", "method", "config", "variant", "shots", "seeds_finished", "seeds_asked", "mean", "std", "parameters",
    "seconds", "chance",
)  # fmt: skip


def escaped(text: str) -> str:
    """``text`` with LaTeX's special characters escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def latex(table: Table, caption: str = "", label: str = "") -> str:
    """The table with booktabs' rules, the best of a column in bold and the second best underlined.

    With a caption it becomes a float. The document needs ``\\usepackage{booktabs}``.
    """
    table = table.shown()
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
        # The caption goes above the table, as journals require.
        labels = [rf"\label{{{label}}}"] if label else []
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", *labels, *lines, r"\end{table}"]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + r" \\"
    # After the \\ of the line above, LaTeX would parse these as its options.
    return "{}" + line if line.startswith(("[", "*")) else line


def table_csv(table: Table) -> str:
    """The table's cells as printed."""
    table = table.shown()
    return _csv([table.header, *table.rows])


def runs_csv(groups: Sequence[Group]) -> str:
    """A line per run and task, with unrounded accuracies; NaN is left empty."""
    lines = []
    for run in sorted((run for group in groups for run in group.runs), key=lambda run: run.folder):
        seconds = (run.seconds["train"], run.seconds["test"])
        about = (run.dataset, run.method, run.config, run.variant, run.backbone, run.shots, run.seed)
        for task in run.tasks:
            score = (task.name, task.metric, number(task.accuracy))
            calibration = ("" if x is None else x for x in (task.temperature, task.ece, task.ece_uncalibrated))
            lines.append(
                (
                    *about,
                    *score,
                    run.parameters,
                    *map(number, seconds),
                    run.folder.as_posix(),
                    *calibration,
                    number(chance(task.classes)),
                )
            )
    return _csv([RUN_FIELDS, *lines])


def summary_csv(groups: Sequence[Group]) -> str:
    """A line per group, row and number of shots, with the number of seeds that the mean is over."""
    lines = []
    for group in groups:
        for row in group.rows:
            lines += [_summary(group, row, shots, series) for shots, series in sorted(row.by_shots.items())]
    return _csv([SUMMARY_FIELDS, *lines])


def _summary(group: Group, row: Row, shots: int, series: Series) -> tuple:
    seconds = series.over_seeds(lambda run: run.seconds["total"]).mean
    finished, requested = len(series.runs), len(series.seeds)
    parameters = series.runs[0].parameters if series.runs else ""
    about = (group.title, row.method, row.config, row.variant, shots, finished, requested)
    std = number(series.mean.std) if finished > 1 else ""
    guess = number(fmean(guessed([series]) or [math.nan]))
    return (*about, number(series.mean.mean), std, parameters, number(seconds), guess)


def number(value: float) -> float | str:
    """``value``, or an empty string if it is not finite."""
    return value if math.isfinite(value) else ""


def plain_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: a name that begins like one gets an apostrophe.

    >>> plain_cell("=1+1"), plain_cell("-1.5"), plain_cell(-1.5)
    ("'=1+1", '-1.5', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = printable(value).replace("\n", " ")
    return f"'{text}" if text.lstrip()[:1] in FORMULA and text and not FIGURE.fullmatch(text) else text


def _csv(rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([plain_cell(cell) for cell in row] for row in rows)
    return text.getvalue()
