"""Tables and selections of a group of runs, shared by the page and the files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reporting.collection import Group, Row
from reporting.paired import paired
from reporting.series import Series
from reporting.tables import OVER_SEEDS, PAIRED_LEGEND, Table, method_table, paired_table, shots_table
from runs.results import Example, Words

FEW_TASKS = 12  # up to this many tasks are always columns


def by_shots(group: Group) -> Table:
    """Mean accuracy of each row by number of shots."""
    rows = [(row.label, [group.series(row, shots) for shots in group.shots]) for row in group.rows]
    return shots_table(rows, group.shots)


def by_task(group: Group, shots: int) -> tuple[Table, int]:
    """Accuracy by task at a number of shots, and the number of lines at the end that are not tasks.

    Lines are tasks if there are many, otherwise methods.
    """
    table = method_table(group.table_rows(shots))
    if len(group.tasks) <= max(FEW_TASKS, len(table.rows)):
        return table, 0
    return table.transposed(rules=[len(group.tasks)]), 3


def differences(group: Group) -> tuple[Table, Table, str] | None:
    """The accuracy of each row minus the reference's: over all shots, by shots, and the legend of both.

    A row with further settings is compared with the reference under the same settings, if there is one. None if there
    is nothing to compare.
    """
    overall, single = [], []
    for row in group.rows:
        other = _partner(group, row)
        if other is None:
            continue
        cells = [(n, group.series(row, n), group.series(other, n)) for n in group.shots]
        cells = [(n, a, b) for n, a, b in cells if a.runs and b.runs]
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
    """The row to subtract: the reference's method with this row's config and settings, or else the reference."""
    reference = group.reference
    if row.method == reference.method:
        return None if row is reference else reference
    wanted = (reference.method, row.config, row.variant)
    return next((one for one in group.rows if (one.method, one.config, one.variant) == wanted), reference)


def chosen_shots(group: Group) -> int:
    """The number of shots at which most rows have runs; the largest in a tie."""
    return max(group.shots, key=lambda n: (len([1 for _, series in group.table_rows(n) if series.runs]), n))


Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Learned:
    """A row's learned contexts at a number of shots: cosines between tasks, mean over ``seeds``; words of one run."""

    row: Row
    shots: int
    seeds: tuple[int, ...]
    similarity: dict[str, list[list[float]]]
    words: tuple[Words, ...]
    words_seed: int


def learned(group: Group) -> list[Learned]:
    """The learned contexts of each row that recorded them, at its largest number of shots; the reference first."""
    found = []
    for row in sorted(group.rows, key=lambda row: row is not group.reference):
        for shots in sorted(row.by_shots, reverse=True):
            contexts = {run.seed: run.contexts for run in row.by_shots[shots].runs if run.contexts is not None}
            matrices: dict[str, list[Matrix]] = {}
            for one in contexts.values():
                for of, matrix in one.similarity.items():
                    matrices.setdefault(of, []).append(matrix)
            words_seed, words = next(((seed, one.words) for seed, one in contexts.items() if one.words), (-1, ()))
            if not matrices and not words:
                continue
            similarity = {of: _mean(several) for of, several in matrices.items()}
            found.append(Learned(row, shots, tuple(contexts), similarity, words, words_seed))
            break
    return found


def _mean(matrices: Sequence[Matrix]) -> list[list[float]]:
    size = range(len(matrices[0]))
    return [[sum(matrix[i][j] for matrix in matrices) / len(matrices) for j in size] for i in size]


def words_table(words: Sequence[Words]) -> Table:
    """A line per task or class and a column per context vector, which lists its nearest words, nearest first."""
    most = max((len(entry.nearest) for entry in words), default=0)
    table = Table(["context of", *(f"vector {i}" for i in range(1, most + 1))], [], left=most + 1)
    for entry in words:
        cells = [", ".join(f"{word} ({distance:.2f})" for word, distance in vector) for vector in entry.nearest]
        table.rows.append([entry.of, *cells, *[""] * (most - len(cells))])
    return table


@dataclass(frozen=True)
class HardClass:
    """A class that is often misclassified: its accuracy in percent over a row's seeds, and the mean of other rows.

    ``predicted`` is the class that its images are most often mistaken for, ``errors`` the number of its ``images``
    that are; ``examples`` are (path of an image below one of the roots, predicted class, confidence).
    """

    task: str
    name: str
    accuracy: float
    others: float
    images: int
    predicted: str
    errors: int
    examples: tuple[tuple[str, str, float], ...]


def confusion(series: Series, task: int) -> list[tuple[int, int, int]]:
    """(true class, predicted class, images) summed over seeds; empty if no run recorded it."""
    counts: dict[tuple[int, int], int] = {}
    for run in series.runs:
        for true, predicted, count in run.tasks[task].confusion:
            counts[true, predicted] = counts.get((true, predicted), 0) + count
    return [(true, predicted, count) for (true, predicted), count in sorted(counts.items())]


def confused(group: Group) -> tuple[Row, int] | None:
    """The row and shots whose confusions are shown: the first with any, the reference and the most shots first."""
    for row in sorted(group.rows, key=lambda row: row is not group.reference):
        for shots in sorted(row.by_shots, reverse=True):
            if any(task.confusion for run in row.by_shots[shots].runs for task in run.tasks):
                return row, shots
    return None


def class_names(series: Series, task: int) -> tuple[str, ...]:
    """The names of a task's classes; empty if no run recorded them."""
    return next((run.tasks[task].classnames for run in series.runs if run.tasks[task].classnames), ())


def class_accuracies(series: Series, task: int) -> dict[int, float]:
    """Accuracy in percent by class, over all images of all seeds."""
    correct: dict[int, int] = {}
    total: dict[int, int] = {}
    for true, predicted, count in confusion(series, task):
        total[true] = total.get(true, 0) + count
        correct[true] = correct.get(true, 0) + count * (true == predicted)
    return {true: 100 * correct[true] / total[true] for true in total}


def hardest(group: Group, row: Row, shots: int, most: int = 24, examples: int = 3) -> list[HardClass]:
    """The classes of all tasks with the lowest accuracy in a row's runs, the lowest first; only those with errors."""
    found = []
    own = group.series(row, shots)
    others = [series for other in group.rows if other is not row and (series := other.at(shots)) is not None]
    for task, (task_name, _) in enumerate(group.tasks):
        names, counts = class_names(own, task), confusion(own, task)
        elsewhere = [class_accuracies(series, task) for series in others]
        for true, accuracy in class_accuracies(own, task).items():
            if accuracy >= 100:
                continue
            wrong = {p: n for t, p, n in counts if t == true and p != true}
            mistaken = max(wrong, key=wrong.__getitem__)
            values = [known[true] for known in elsewhere if true in known]
            pictures = {e.image: (e.image, names[e.predicted], e.confidence) for e in _examples(own, task, true)}
            found.append(HardClass(
                task_name, names[true], accuracy, sum(values) / len(values) if values else math.nan,
                sum(n for t, _, n in counts if t == true), names[mistaken], wrong[mistaken],
                tuple(pictures.values())[:examples],
            ))  # fmt: skip
    return sorted(found, key=lambda one: one.accuracy)[:most]


def _examples(series: Series, task: int, true: int) -> list[Example]:
    """Errors on a class's images, the most confident first."""
    examples = [e for run in series.runs for e in run.tasks[task].examples if e.true == true]
    return sorted(examples, key=lambda e: -e.confidence if math.isfinite(e.confidence) else 0.0)
