"""Tables and selections of a group of runs, shared by the page and the files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.text import counted
from reporting.collection import Group, Row
from reporting.measures import Measure
from reporting.paired import paired
from reporting.series import Series
from reporting.tables import (
    OVER_SEEDS,
    PAIRED_LEGEND,
    Table,
    method_table,
    paired_table,
    series_table,
    shots_of,
    shots_table,
    tasks_as_rows,
)
from reporting.word_filter import is_left_out, shown
from runs.results import Example, Words

FEW_TASKS = 12  # up to this many tasks are always columns


def by_shots(group: Group) -> Table:
    """Mean accuracy of each row by number of shots."""
    rows = [(row.label, [group.series(row, shots) for shots in group.shots]) for row in group.rows]
    return shots_table(rows, group.shots)


def calibration(group: Group, measure: Measure) -> Table | None:
    """Mean calibration error of each row by number of shots; None if no run recorded it."""
    rows = [
        (row.label, [replace(group.series(row, shots), measure=measure) for shots in group.shots]) for row in group.rows
    ]
    recorded = any(math.isfinite(measure.mean(run)) for run in group.runs)
    return series_table(rows, [shots_of(n) for n in group.shots]) if recorded else None


def by_task(group: Group, shots: int) -> tuple[Table, int]:
    """Accuracy by task at a number of shots, and the number of lines at the end that are not tasks.

    Lines are tasks if there are many, otherwise methods.
    """
    rows = group.table_rows(shots)
    table = method_table(rows)
    if len(group.tasks) <= max(FEW_TASKS, len(rows)):
        return table, 0
    return tasks_as_rows(table), 3


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
    return _all_named(paired_table(overall)), _all_named(paired_table(single)), legend


def _all_named(table: Table) -> Table:
    """The table with a heading for the column of marks, which has none on a terminal to save width."""
    return table.with_headings({c: "not 0" for c, heading in enumerate(table.header) if not heading})


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
    """A line per task or class and a column per context vector, which lists its nearest words, nearest first.

    Words of the filter's list are replaced by LEFT_OUT.
    """
    most = max((len(entry.nearest) for entry in words), default=0)
    table = Table(["context of", *(f"vector {i}" for i in range(1, most + 1))], [], left=most + 1)
    for entry in words:
        cells = [", ".join(f"{shown(word)} ({distance:.2f})" for word, distance in vector) for vector in entry.nearest]
        table.rows.append([entry.of, *cells, *[""] * (most - len(cells))])
    return table


def left_out_count(words: Sequence[Words]) -> int:
    """How many of the nearest words the table leaves out."""
    return sum(is_left_out(word) for entry in words for vector in entry.nearest for word, _ in vector)


@dataclass(frozen=True)
class Mistake:
    """A misclassified image and its most confident wrong prediction; ``seeds`` counts the runs that recorded it."""

    image: str
    predicted: str
    confidence: float
    seeds: int


@dataclass(frozen=True)
class HardClass:
    """A class that is often misclassified: its accuracy in percent over a row's seeds, and that of other rows.

    ``correct`` of all predictions on its test images are right; ``images`` is their number in each seed. ``predicted``
    is the class that they are most often mistaken for, in ``errors`` predictions. The rows ``others`` (labels) made
    ``others_total`` predictions, of which ``others_correct`` are right. ``examples``: distinct images, the most
    confident mistake first; ``complete`` is False if the runs did not record all mistakes.
    """

    task: str
    name: str
    accuracy: float
    correct: int
    images: tuple[int, ...]
    predicted: str
    errors: int
    others: tuple[str, ...]
    others_correct: int
    others_total: int
    examples: tuple[Mistake, ...]
    complete: bool


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


def class_counts(series: Series, task: int) -> dict[int, tuple[int, int]]:
    """(correct predictions, predictions) by class, summed over seeds."""
    correct: dict[int, int] = {}
    total: dict[int, int] = {}
    for true, predicted, count in confusion(series, task):
        total[true] = total.get(true, 0) + count
        correct[true] = correct.get(true, 0) + count * (true == predicted)
    return {true: (correct[true], total[true]) for true in total}


def tested_images(series: Series, task: int, true: int | None = None) -> tuple[int, ...]:
    """The number of test images of a task, or of one of its classes, in each run that recorded confusions."""
    return tuple(
        sum(count for of, _, count in run.tasks[task].confusion if true is None or of == true)
        for run in series.runs
        if run.tasks[task].confusion
    )


def images_text(counts: Sequence[int]) -> str:
    """The number of test images in each run: "8 images", or "8 images in each of 3 seeds"."""
    if len(set(counts)) > 1:
        return f"{sum(counts):,} predictions in {len(counts)} seeds"
    return counted(counts[0], "image") + f" in each of {len(counts)} seeds" * (len(counts) > 1)


def confusion_note(series: Series, task: int) -> str:
    """The number of test images of a task and of its classes, for its confusions."""
    images = tested_images(series, task)
    by_class = sorted(total / len(images) for _, total in class_counts(series, task).values())
    low, high = (f"{count:,.0f}" for count in (by_class[0], by_class[-1]))
    return f"{images_text(images)}, {low if low == high else f'{low} to {high}'} a class"


def hardest(group: Group, row: Row, shots: int, most: int = 24, examples: int = 3) -> list[HardClass]:
    """The classes of all tasks with the lowest accuracy in a row's runs, the lowest first; only those with errors."""
    found = []
    own = group.series(row, shots)
    several_towers = len({tower for one in group.rows for tower in one.towers}) > 1
    others = [
        (f"{other.label} [{', '.join(other.towers)}]" if several_towers else other.label, series)
        for other in group.rows
        if other is not row and (series := other.at(shots)) is not None
    ]
    for task, (task_name, _) in enumerate(group.tasks):
        names, counts = class_names(own, task), confusion(own, task)
        elsewhere = [(label, class_counts(series, task)) for label, series in others]
        for true, (correct, total) in class_counts(own, task).items():
            if correct == total:
                continue
            wrong = {p: n for t, p, n in counts if t == true and p != true}
            mistaken = max(wrong, key=wrong.__getitem__)
            known = {label: of[true] for label, of in elsewhere if true in of}
            recorded = _examples(own, task, true)
            found.append(HardClass(
                task_name, names[true], 100 * correct / total, correct, tested_images(own, task, true),
                names[mistaken], wrong[mistaken], tuple(known), sum(k for k, _ in known.values()),
                sum(n for _, n in known.values()), tuple(_mistakes(recorded, names))[:examples],
                len(recorded) == total - correct,
            ))  # fmt: skip
    return sorted(found, key=lambda one: one.accuracy)[:most]


def _examples(series: Series, task: int, true: int) -> list[tuple[int, Example]]:
    """(seed, error) for the recorded errors on a class's images, the most confident first."""
    examples = [(run.seed, e) for run in series.runs for e in run.tasks[task].examples if e.true == true]
    return sorted(examples, key=lambda pair: -pair[1].confidence if math.isfinite(pair[1].confidence) else 0.0)


def _mistakes(examples: Sequence[tuple[int, Example]], names: Sequence[str]) -> list[Mistake]:
    """Each image once, although several seeds may show it."""
    by_image: dict[str, list[tuple[int, Example]]] = {}
    for seed, example in examples:
        by_image.setdefault(example.image, []).append((seed, example))
    return [
        Mistake(image, names[several[0][1].predicted], several[0][1].confidence, len({seed for seed, _ in several}))
        for image, several in by_image.items()
    ]
