"""Comparisons of methods as text that fits a terminal, with many methods, many tasks, or both."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from reporting.series import Series
from reporting.tables import SHORT_NOTES, Table, method_table, shots_table, tasks_as_rows

FEW = 5  # up to this many methods may be columns, with tasks as rows

Rows = Sequence[tuple[str, Series]]


def one_shot_count(many: Rows, columns: int, bold: bool = False) -> str:
    """Accuracy by task, mean, parameters and seconds of methods (label, runs), at most ``columns`` wide if possible.

    A few methods make one table, transposed if it is too wide. Many methods are always rows: with the tasks' names as
    headings, or with their numbers if the names do not fit, or else with the means first and the tasks in further
    tables.
    """
    if len(many) <= FEW:
        table = method_table(many)
        return (table if table.width <= columns else tasks_as_rows(table)).text(bold)
    table = method_table(many, short=True)
    tasks = range(1, len(table.header) - 3)
    numbered = table.with_headings({c: str(c) for c in tasks})
    if table.width <= columns:
        parts = [table.text(bold)]
    elif numbered.width <= columns:
        parts = [numbered.text(bold), _numbered_names(table, tasks, columns)]
    else:
        parts = [table.select([0, *range(tasks.stop, len(table.header))]).text(bold)]
        named_blocks, blocks = (_blocks(one, tasks, columns) for one in (table, numbered))
        if len(named_blocks) <= 1.5 * len(blocks):
            parts += [table.select([0, *block]).text(bold) for block in named_blocks]
        else:
            for block in blocks:
                parts += [_numbered_names(table, block, columns), numbered.select([0, *block]).text(bold)]
    return "\n\n".join([*parts, *_notes(many)])


def several_shot_counts(many: Sequence[tuple[str, Sequence[Series]]], shots: Sequence[int], bold: bool = False) -> str:
    """Mean accuracy by shot count of methods (label, runs at each shot count)."""
    short = len(many) > FEW
    notes = _notes([(label, series) for label, row in many for series in row]) if short else []
    return "\n\n".join([shots_table(many, shots, short).text(bold), *notes])


def differences(table: Table, columns: int) -> str:
    """A table of paired differences, at most ``columns`` wide: its last columns are dropped as needed.

    The difference and its interval are always kept.
    """
    shown, least = len(table.header), table.header.index("95 % interval") + 2
    while shown > least and table.select(range(shown)).width > columns:
        shown -= 1
    return table.select(range(shown)).text()


def _notes(many: Rows) -> list[str]:
    return [SHORT_NOTES] if any(series.note for _, series in many) else []


def _blocks(table: Table, tasks: range, columns: int) -> list[list[int]]:
    """The tasks' columns in the fewest blocks of equal size that, with the methods, are at most ``columns`` wide."""
    for count in range(2, len(tasks)):
        size = -(-len(tasks) // count)
        blocks = [list(tasks[i : i + size]) for i in range(0, len(tasks), size)]
        if all(table.select([0, *block]).width <= columns for block in blocks):
            return blocks
    return [[task] for task in tasks]


def _numbered_names(table: Table, tasks: Sequence[int], columns: int) -> str:
    """The legend of task numbers; a line break never separates a name from its number."""
    names = [f"{c} {table.header[c]}".replace(" ", "\N{NO-BREAK SPACE}") for c in tasks]
    lines = textwrap.wrap("Tasks: " + ", ".join(names), columns, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
