"""What is told of a group of runs, as tables and choices that pages and files share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reporting.collection import Group, Row
from reporting.paired import paired
from reporting.series import Series
from reporting.tables import OVER_SEEDS, PAIRED_LEGEND, Table, method_table, paired_table, shots_table
from runs.results import Words

BOTH = 12  # up to so many tasks are columns, whatever the number of methods


def by_shots(group: Group) -> Table:
    """Mean accuracy of every row by number of shots."""
    rows = [(row.label, [group.series(row, shots) for shots in group.shots]) for row in group.rows]
    return shots_table(rows, group.shots)


def by_task(group: Group, shots: int) -> tuple[Table, int]:
    """Accuracy by task at a number of shots, and how many of the last lines are no task's.

    Many tasks are lines, otherwise methods are.
    """
    table = method_table(group.table_rows(shots))
    if len(group.tasks) <= max(BOTH, len(table.rows)):
        return table, 0
    return table.transposed(rules=[len(group.tasks)]), 3


def differences(group: Group) -> tuple[Table, Table, str] | None:
    """What every row reaches minus what the reference does: over all shots, by shots, and the legend of both.

    A row with further settings is compared with the reference under the same settings, where there is one. None where
    there is nothing to compare.
    """
    overall, single = [], []
    for row in group.rows:
        other = _partner(group, row)
        if other is None:
            continue
        cells = [(n, row.at(n), other.at(n)) for n in group.shots]
        cells = [(n, a, b) for n, a, b in cells if a is not None and b is not None and a.runs and b.runs]
        if not cells:
            continue
        label = row.label if other is group.reference else f"{row.label} (minus {other.label})"
        overall.append((label, "all", paired([(a, b) for _, a, b in cells])))
        single += [(label, str(n), paired([(a, b)])) for n, a, b in cells]
    if not overall:
        return None
    seeds = OVER_SEEDS if any(d.over == "seeds" for _, _, d in overall) else ""
    legend = PAIRED_LEGEND.format(against=group.reference.label, seeds=seeds)
    return paired_table(overall), paired_table(single), legend


def _partner(group: Group, row: Row) -> Row | None:
    """The row to subtract from another: the reference's method with its config and settings, or the reference."""
    reference = group.reference
    if row.method == reference.method:
        return None if row is reference else reference
    alike = [
        other
        for other in group.rows
        if (other.method, other.config, other.variant) == (reference.method, row.config, row.variant)
    ]
    return alike[0] if alike else reference


def chosen_shots(group: Group) -> int:
    """The number of shots that most rows have runs of, the larger of two."""
    return max(group.shots, key=lambda n: (len([1 for _, series in group.table_rows(n) if series.runs]), n))


@dataclass(frozen=True)
class Learned:
    """What a row's runs at a number of shots learned: cosines between tasks, mean over ``seeds``; words of one run."""

    row: Row
    shots: int
    seeds: tuple[int, ...]
    similarity: dict[str, list[list[float]]]
    words: tuple[Words, ...]
    words_seed: int


def learned(group: Group) -> list[Learned]:
    """Of every row whose runs recorded it, at the largest number of shots; the reference first."""
    found = []
    for row in sorted(group.rows, key=lambda row: row is not group.reference):
        for shots in sorted(row.by_shots, reverse=True):
            runs = [run for run in row.by_shots[shots].runs if run.contexts is not None]
            kinds = list(dict.fromkeys(of for run in runs for of in run.contexts.similarity))
            worded = next((run for run in runs if run.contexts.words), None)
            if not kinds and worded is None:
                continue
            similarity = {
                of: _mean([run.contexts.similarity[of] for run in runs if of in run.contexts.similarity])
                for of in kinds
            }
            words = worded.contexts.words if worded else ()
            seeds = tuple(run.seed for run in runs)
            found.append(Learned(row, shots, seeds, similarity, words, worded.seed if worded else -1))
            break
    return found


def _mean(matrices: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    size = range(len(matrices[0]))
    return [[sum(matrix[i][j] for matrix in matrices) / len(matrices) for j in size] for i in size]


def words_table(words: Sequence[Words]) -> Table:
    """A line for every task or class, a column for every context vector, the nearest words in it, nearest first."""
    most = max((len(entry.nearest) for entry in words), default=0)
    table = Table(["of", *(f"vector {i}" for i in range(1, most + 1))], [], left=most + 1)
    for entry in words:
        cells = [", ".join(f"{word} ({distance:.2f})" for word, distance in vector) for vector in entry.nearest]
        table.rows.append([entry.of, *cells, *[""] * (most - len(cells))])
    return table


@dataclass(frozen=True)
class HardClass:
    """A class and how it fared: accuracy in percent over all seeds of a row, and on average over the other rows.

    ``taken`` is what its images are mostly taken for, ``errors`` how many of its ``images`` are; ``examples`` are
    (path of an image below one of the roots, what it was taken for, confidence).
    """

    task: str
    name: str
    accuracy: float
    others: float
    images: int
    taken: str
    errors: int
    examples: tuple[tuple[str, str, float], ...]


def confusion(series: Series, task: int) -> list[tuple[int, int, int]]:
    """(true class, predicted class, images) summed over seeds; empty where no run recorded it."""
    counts: dict[tuple[int, int], int] = {}
    for run in series.runs:
        for true, predicted, count in run.tasks[task].confusion:
            counts[true, predicted] = counts.get((true, predicted), 0) + count
    return [(true, predicted, count) for (true, predicted), count in sorted(counts.items())]


def confused(group: Group) -> tuple[Row, int] | None:
    """The row and shots whose confusions are shown: the reference's at the largest number of shots that has any."""
    for row in sorted(group.rows, key=lambda row: row is not group.reference):
        for shots in sorted(row.by_shots, reverse=True):
            if any(task.confusion for run in row.by_shots[shots].runs for task in run.tasks):
                return row, shots
    return None


def class_names(series: Series, task: int) -> tuple[str, ...]:
    """The names of a task's classes; empty where no run recorded them."""
    return next((run.tasks[task].classnames for run in series.runs if run.tasks[task].classnames), ())


def class_accuracies(series: Series, task: int) -> dict[int, float]:
    """In percent by class, over all images of all seeds."""
    right: dict[int, int] = {}
    total: dict[int, int] = {}
    for true, predicted, count in confusion(series, task):
        total[true] = total.get(true, 0) + count
        right[true] = right.get(true, 0) + count * (true == predicted)
    return {true: 100 * right[true] / total[true] for true in total}


def hardest(group: Group, row: Row, shots: int, most: int = 24, examples: int = 3) -> list[HardClass]:
    """The classes that a row's runs know least, of all tasks, the worst first; none of which is always right."""
    found = []
    own = row.at(shots)
    rivals = [other.at(shots) for other in group.rows if other is not row and other.at(shots) is not None]
    for task, (task_name, _) in enumerate(group.tasks):
        names, counts = class_names(own, task), confusion(own, task)
        elsewhere = [class_accuracies(series, task) for series in rivals]
        for true, accuracy in class_accuracies(own, task).items():
            if accuracy >= 100:
                continue
            wrong = {p: n for t, p, n in counts if t == true and p != true}
            taken = max(wrong, key=wrong.get)
            values = [known[true] for known in elsewhere if true in known]
            pictures = {e.image: (e.image, names[e.predicted], e.confidence) for e in _examples(own, task, true)}
            found.append(HardClass(
                task_name, names[true], accuracy, sum(values) / len(values) if values else math.nan,
                sum(n for t, _, n in counts if t == true), names[taken], wrong[taken],
                tuple(pictures.values())[:examples],
            ))  # fmt: skip
    return sorted(found, key=lambda one: one.accuracy)[:most]


def _examples(series: Series, task: int, true: int) -> list:
    """Errors on a class's images, the most confident first."""
    every = [e for run in series.runs for e in run.tasks[task].examples if e.true == true]
    return sorted(every, key=lambda e: -e.confidence if math.isfinite(e.confidence) else 0.0)
