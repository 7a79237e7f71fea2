"""Two methods compared run by run: the difference on the same tasks, shots and seeds, and its confidence interval.

Runs of both methods with the same shots and seed see the same images, so their accuracies on a task are subtracted;
this removes the difficulty of a task or of a draw of shots that both share.

The differences of one task's seeds are not independent samples: they share the task's classes and test images, and a
method that suits a task suits it with every seed. Treating tasks x seeds values as independent would make intervals
too narrow by up to the square root of the number of seeds. So seeds (and shot counts) are averaged first, and the
interval is Student's t over the tasks' means d_1 .. d_T:

    mean(d) -+ t(T - 1) s(d) / sqrt(T),      s: sample standard deviation, t(n): two-sided 95 % quantile

It predicts the difference on other tasks of this kind. With a single task this is impossible; the interval is then
taken over the seeds' means and covers only the random draws and training on that task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from common.intervals import interval
from reporting.series import Series, check_same_tasks
from runs.results import Run


class Difference(NamedTuple):
    """The difference of two runs on one task, in points of what their series show, such as accuracy."""

    task: int
    seed: int
    cell: int
    points: float


@dataclass(frozen=True)
class Paired:
    """One method minus another, in points.

    ``mean`` is the unweighted mean over tasks, and the interval from ``low`` to ``high`` is over ``units`` "tasks" or
    "seeds" (``over``); NaN without enough values. ``won`` and ``even`` count the tasks where the first is better and
    where both are equal, out of ``tasks`` with any value. ``pairs`` of (task, shots, seed) were found, out of
    ``requested``.
    """

    mean: float
    low: float
    high: float
    over: str
    units: int
    won: int
    even: int
    tasks: int
    pairs: int
    requested: int

    @property
    def significant(self) -> bool:
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0


def paired(cells: Sequence[tuple[Series, Series]]) -> Paired:
    """The first series of each cell minus the second, with one cell per shot count to average over.

    Runs that one of the two lacks, and figures that are not finite, are ignored on both sides. A run without
    training images (``shots`` below 1) is deterministic and is paired with the run of every seed.

    Raises RunError if the runs have different tasks.
    """
    tasks = check_same_tasks(series for cell in cells for series in cell)
    found: list[Difference] = []
    requested, lowest = 0, any(first.measure.lowest for first, _ in cells)
    for number, (first, second) in enumerate(cells):
        seeds = _shared_seeds(first, second)
        requested += len(seeds) * len(tasks)
        for seed, one, other in _matched(first, second, seeds):
            for task, (a, b) in enumerate(zip(one.tasks, other.tasks, strict=True)):
                points = first.measure.of(a) - second.measure.of(b)
                if math.isfinite(points):
                    found.append(Difference(task, seed, number, points))

    by_task = [_mean_of_cells(part) for part in _groups(found, lambda one: one.task)]
    single = len(tasks) == 1
    units = [_mean_of_cells(part) for part in _groups(found, lambda one: one.seed)] if single else by_task
    low, high = interval(units)
    return Paired(
        mean=fmean(by_task) if by_task else math.nan,
        low=low,
        high=high,
        over="seeds" if single else "tasks",
        units=len(units),
        won=sum(d < 0 if lowest else d > 0 for d in by_task),
        even=sum(d == 0 for d in by_task),
        tasks=len(by_task),
        pairs=len(found),
        requested=requested,
    )


def _deterministic(series: Series) -> bool:
    return len(series.runs) == 1 and series.runs[0].shots < 1


def _shared_seeds(first: Series, second: Series) -> list[int]:
    """The seeds requested for both; a deterministic series takes the seeds of the other."""
    if _deterministic(first):
        return list(second.seeds)
    return list(first.seeds) if _deterministic(second) else [seed for seed in first.seeds if seed in second.seeds]


def _matched(first: Series, second: Series, seeds: Iterable[int]) -> Iterator[tuple[int, Run, Run]]:
    """(seed, run of the first, run of the second) for each seed that both have."""
    runs = []
    for series in (first, second):
        by_seed = {run.seed: run for run in series.runs}
        runs.append(dict.fromkeys(seeds, series.runs[0]) if _deterministic(series) else by_seed)
    return ((seed, runs[0][seed], runs[1][seed]) for seed in seeds if seed in runs[0] and seed in runs[1])


def _groups(found: Sequence[Difference], key: Callable[[Difference], int]) -> list[list[Difference]]:
    """The differences grouped by ``key``, in its order."""
    return [[one for one in found if key(one) == value] for value in sorted({key(one) for one in found})]


def _mean_of_cells(found: Sequence[Difference]) -> float:
    """The mean over cells (shot counts) of each cell's mean, so that a missing seed does not reweight shot counts."""
    return fmean(fmean(one.points for one in part) for part in _groups(found, lambda one: one.cell))
