"""Two methods compared run by run: how far apart they are on the same tasks, shots and seeds, and how sure that is.

A run of either method with the same shots and seed sees the same images, so their accuracies on a task are subtracted
from each other; what makes a task or a draw of shots hard for both falls out.

The differences of one task's seeds are not independent samples of anything a collection stands for: they share the
task's classes and its test images, and a method that suits a task suits it with every seed. Counting tasks x seeds
values as if they were independent would make intervals too narrow by up to the square root of the number of seeds. So
seeds (and shot counts) are averaged first, and the interval is Student's t over the tasks' means d_1 .. d_T:

    mean(d) -+ t(T - 1) s(d) / sqrt(T),      s: sample standard deviation, t(n): two-sided 95 % quantile

It says what to expect of other tasks of this kind. With a single task there is nothing of that to say; then the
interval is the same over the seeds' means, and says only how far the chance of draws and training moves that one task.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, stdev

from reporting.series import Series, check_same_tasks
from runs.results import Run

LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """One method minus another, in points of accuracy.

    ``mean`` is the unweighted mean over tasks, and the interval from ``low`` to ``high`` is over ``units`` "tasks" or
    "seeds" (``over``); NaN where there is nothing to tell. ``won`` and ``even`` count the tasks whose mean difference
    is above 0 and is 0, of ``tasks`` that have any. ``pairs`` of (task, shots, seed) were there, of ``asked``.
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
    asked: int

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def paired(cells: Sequence[tuple[Series, Series]]) -> Paired:
    """The first series of each cell minus the second; a cell for each shot count that the answer is to be over.

    Runs that one of the two lacks, and accuracies that are not finite, are left out on both sides. A run without
    training images (``shots`` below 1), which has no chance in it, is the partner of every seed's run.

    Raises RunError when the runs are not all of the same tasks.
    """
    tasks = check_same_tasks(series for cell in cells for series in cell)
    found, asked = [], 0  # (task, seed, cell, difference)
    for number, (first, second) in enumerate(cells):
        seeds = _shared_seeds(first, second)
        asked += len(seeds) * len(tasks)
        for seed, one, other in _matched(first, second, seeds):
            for task, (a, b) in enumerate(zip(one.tasks, other.tasks, strict=True)):
                if math.isfinite(a.accuracy) and math.isfinite(b.accuracy):
                    found.append((task, seed, number, a.accuracy - b.accuracy))

    by_task = [_mean_of_cells(part) for part in _groups(found, 0)]
    single = len(tasks) == 1
    units = [_mean_of_cells(part) for part in _groups(found, 1)] if single else by_task
    low, high = interval(units)
    return Paired(
        mean=fmean(by_task) if by_task else math.nan,
        low=low,
        high=high,
        over="seeds" if single else "tasks",
        units=len(units),
        won=sum(d > 0 for d in by_task),
        even=sum(d == 0 for d in by_task),
        tasks=len(by_task),
        pairs=len(found),
        asked=asked,
    )


def interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Student's t interval of the mean of independent ``values``; NaN for fewer than two, which say nothing of it."""
    if len(values) < 2:
        return math.nan, math.nan
    half = t_quantile(len(values) - 1, level) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


@lru_cache
def t_quantile(df: int, level: float = LEVEL) -> float:
    """The t with probability ``level`` between -t and t, for Student's t with ``df`` degrees of freedom, 1 or more.

    Found by halving on the angle theta = arctan(t / sqrt(df)), since for whole ``df`` the probability is a finite sum
    in it (Abramowitz and Stegun, 26.7.3 and 26.7.4). This package does without SciPy, so that tables and bad input are
    told before anything is installed.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, df) < level else (low, middle)
    return math.sqrt(df) * math.tan(high)


def _within(theta: float, df: int) -> float:
    """P(|t| <= sqrt(df) tan theta)."""
    odd, cosine = df % 2, math.cos(theta)
    term = cosine if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df, 2):  # cos^(k) (1 3 .. (k - 1)) / (2 4 .. k), or its like for odd powers
        term *= cosine**2 * (k - 1) / k
        total += term
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total


def _without_chance(series: Series) -> bool:
    return len(series.runs) == 1 and series.runs[0].shots < 1


def _shared_seeds(first: Series, second: Series) -> list[int]:
    """The seeds that both were asked for; those of the other for a series that has no chance in it."""
    if _without_chance(first):
        return list(second.seeds)
    return list(first.seeds) if _without_chance(second) else [seed for seed in first.seeds if seed in second.seeds]


def _matched(first: Series, second: Series, seeds: Iterable[int]) -> Iterator[tuple[int, Run, Run]]:
    """(seed, run of the first, run of the second) wherever both are there."""
    runs = []
    for series in (first, second):
        by_seed = {run.seed: run for run in series.runs}
        runs.append(dict.fromkeys(seeds, series.runs[0]) if _without_chance(series) else by_seed)
    return ((seed, runs[0][seed], runs[1][seed]) for seed in seeds if seed in runs[0] and seed in runs[1])


def _groups(found: Sequence[tuple], column: int) -> list[list[tuple]]:
    """The rows of ``found`` apart by what they have in a column, in its order."""
    return [[row for row in found if row[column] == key] for key in sorted({row[column] for row in found})]


def _mean_of_cells(rows: Sequence[tuple]) -> float:
    """The mean over cells (shot counts) of each cell's mean: a missing seed must not weigh shot counts anew."""
    return fmean(fmean(row[3] for row in part) for part in _groups(rows, 2))
