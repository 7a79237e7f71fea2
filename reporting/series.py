"""Runs that differ only in the seed, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from reporting.measures import ACCURACY, Measure
from runs.results import Run, RunError


@dataclass(frozen=True)
class Stat:
    """Mean and population standard deviation (as in numpy's default and CoOp's script) of ``count`` values."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Stat:
        """The statistics of ``values``; NaN if there are none or any is NaN."""
        values = list(values)
        if not values or any(math.isnan(value) for value in values):
            return cls(math.nan, math.nan, len(values))
        return cls(fmean(values), pstdev(values), len(values))


@dataclass(frozen=True)
class Series:
    """Runs of one method that differ only in the seed: ``seeds`` were requested, ``runs`` are finished.

    ``measure`` is what `mean` and `tasks` are of.
    """

    method: str
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    measure: Measure = ACCURACY

    @property
    def note(self) -> str:
        """Empty if every seed is finished, otherwise a note to print next to every figure, e.g. "(2 of 3 seeds)"."""
        if len(self.runs) == len(self.seeds):
            return ""
        return f"({len(self.runs)} of {len(self.seeds)} seeds)" if self.runs else "(no finished run)"

    @property
    def short_note(self) -> str:
        """A shorter note for tables of many methods, e.g. "[2]"."""
        return f"[{len(self.runs)}]" if self.note else ""

    def over_seeds(self, value: Callable[[Run], float]) -> Stat:
        """The statistics of ``value(run)`` over the finished runs."""
        return Stat.of(value(run) for run in self.runs)

    @property
    def mean(self) -> Stat:
        """The mean over tasks."""
        return self.over_seeds(self.measure.mean)

    def tasks(self) -> list[Stat]:
        """The figure of each task, in order; empty without a finished run."""
        return [self.over_seeds(self.measure.at(task)) for task in range(len(self.task_names))]

    @property
    def task_names(self) -> tuple[tuple[str, str], ...]:
        """(name, metric) of each task; empty without a finished run."""
        return tuple((task.name, task.metric) for task in self.runs[0].tasks) if self.runs else ()


def seeds_text(seeds: Iterable[int]) -> str:
    """ "seed 1" or "seeds 1, 2"."""
    listed = [str(seed) for seed in seeds]
    return f"seed{'s' * (len(listed) != 1)} {', '.join(listed)}"


def accuracy_of(task: int) -> Callable[[Run], float]:
    """A function from a run to its accuracy on a task, given by its index."""
    return ACCURACY.at(task)


def make_series(method: str, seeds: Sequence[int], runs: Iterable[Run], measure: Measure = ACCURACY) -> Series:
    """A series of ``runs``, sorted by seed; RunError if a seed occurs twice or the runs have different tasks."""
    ordered = sorted(runs, key=lambda run: list(seeds).index(run.seed))
    for first, second in zip(ordered, ordered[1:], strict=False):
        if first.seed == second.seed:
            raise RunError(f"{first.folder} and {second.folder} both have seed {first.seed}; remove one of them")
    series = Series(method, tuple(seeds), tuple(ordered), measure)
    check_same_tasks([series])
    return series


def guessed(many: Iterable[Series]) -> list[float]:
    """What guessing gives on each task of the runs, in percent; NaN if they do not agree on its number of classes.

    Empty if no run recorded a number of classes, or what the series show is no accuracy.
    """
    found: list[set[float]] = []
    for series in many:
        of = series.measure.guessed
        if of is None:
            return []
        for run in series.runs:
            found = found or [set() for _ in run.tasks]
            for known, task in zip(found, run.tasks, strict=True):
                known |= {value for value in [of(task)] if not math.isnan(value)}
    return [next(iter(known)) if len(known) == 1 else math.nan for known in found] if any(found) else []


def check_same_tasks(many: Iterable[Series]) -> tuple[tuple[str, str], ...]:
    """(name, metric) of the tasks of all runs, empty without runs; RunError naming two folders if tasks differ."""
    runs = [run for series in many for run in series.runs]
    layouts = [tuple((task.name, task.metric) for task in run.tasks) for run in runs]
    for run, layout in zip(runs, layouts, strict=True):
        if layout != layouts[0]:
            raise RunError(f"{runs[0].folder} and {run.folder} have different tasks and cannot share a table")
    return layouts[0] if layouts else ()
