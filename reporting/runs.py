"""Finished runs, read from their results.json files alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

RESULTS = "results.json"
EVALUATION = "evaluation.json"  # of a checkpoint that another run left
# A folder with any of these was a run's, whether or not it came to an end.
TRACES = (RESULTS, "config.yaml", "log.txt")


class RunError(Exception):
    """A run folder that cannot be reported; the message is one line with the folder and the reason."""


@dataclass(frozen=True)
class TaskScore:
    """What a run reached on one task; ``accuracy`` is in percent by ``metric``: "A" overall, "C" mean over classes."""

    name: str
    metric: str
    accuracy: float


@dataclass(frozen=True)
class Run:
    """One finished run. ``shots`` and ``seed`` are its own, ``seconds`` has "train", "test" and "total".

    ``checkpoint`` is a hash of the one that it ended with or evaluated; None where there is none, or none was noted.
    """

    folder: Path
    method: str
    dataset: str
    config: str
    backbone: str
    shots: int
    seed: int
    tasks: tuple[TaskScore, ...]
    parameters: int
    seconds: dict[str, float]
    checkpoint: str | None = None

    @property
    def mean(self) -> float:
        """The unweighted mean of the tasks' accuracies, in percent."""
        return fmean(task.accuracy for task in self.tasks)


def _field(record: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """``record[key]``, which must be of type ``kind``; a RunError with ``where`` otherwise."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RunError(f"{where} has no usable '{key}'")
    return value


def read_run(folder: str | Path, file: str = RESULTS) -> Run:
    """The finished run in ``folder``, or the finished evaluation where ``file`` is EVALUATION.

    Raises RunError when there is none: no results.json, one that is not JSON or lacks something, no finished mark.
    """
    folder = Path(folder)
    path = folder / file
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder} is not finished: it has no {file}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not whole JSON"
        raise RunError(f"{path} cannot be read: {reason}") from None
    if not isinstance(record, dict) or record.get("finished") is not True:
        raise RunError(f"{folder} is not finished: {file} does not say so")

    where, number = str(path), (int, float)
    tasks = tuple(
        TaskScore(_field(t, "name", str, where), _field(t, "metric", str, where), _field(t, "accuracy", number, where))
        for t in _field(record, "tasks", list, where)
    )
    if not tasks:
        raise RunError(f"{where} names no task")
    seconds = _field(record, "seconds", dict, where)
    return Run(
        folder=folder,
        **{key: _field(record, key, str, where) for key in ("method", "dataset", "config", "backbone")},
        **{key: _field(record, key, int, where) for key in ("shots", "seed")},
        tasks=tasks,
        parameters=_field(_field(record, "counts", dict, where), "trainable_parameters", int, where),
        seconds={key: float(_field(seconds, key, number, where)) for key in ("train", "test", "total")},
        checkpoint=str(record["checkpoint"]) if record.get("checkpoint") else None,
    )


def find_runs(root: str | Path) -> tuple[list[Run], list[str]]:
    """All finished runs under ``root`` in order of paths, and for every other run folder a line that says why.

    Folders of evaluations are neither.
    """
    found: list[Run] = []
    skipped: list[str] = []
    for folder in sorted({path.parent for trace in TRACES for path in Path(root).rglob(trace)}):
        if (folder / EVALUATION).exists() and not (folder / RESULTS).exists():
            continue  # not meant to train anything
        try:
            found.append(read_run(folder))
        except RunError as error:
            skipped.append(str(error))
    return found, skipped


@dataclass(frozen=True)
class Stat:
    """Mean and population standard deviation (as numpy's default, and CoOp's script) of ``count`` values."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Stat:
        """The statistics of ``values``; NaN when there are none or one of them is NaN."""
        values = list(values)
        if not values or any(math.isnan(value) for value in values):
            return cls(math.nan, math.nan, len(values))
        return cls(fmean(values), pstdev(values), len(values))


@dataclass(frozen=True)
class Series:
    """Runs of one method that differ in nothing but the seed: ``seeds`` were asked for, ``runs`` are finished."""

    method: str
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]

    @property
    def note(self) -> str:
        """Empty when every seed is there, otherwise what must stand beside any figure, e.g. "(2 of 3 seeds)"."""
        if len(self.runs) == len(self.seeds):
            return ""
        return f"({len(self.runs)} of {len(self.seeds)} seeds)" if self.runs else "(no finished run)"

    @property
    def short_note(self) -> str:
        """The same in a few characters, for tables of many methods, e.g. "[2]"."""
        return f"[{len(self.runs)}]" if self.note else ""

    def over_seeds(self, value: Callable[[Run], float]) -> Stat:
        """The statistics of ``value(run)`` over the finished runs."""
        return Stat.of(value(run) for run in self.runs)

    def tasks(self) -> list[Stat]:
        """Accuracy over seeds of every task, in the tasks' order; empty without a finished run."""
        return [self.over_seeds(lambda run, i=i: run.tasks[i].accuracy) for i in range(len(self.task_names))]

    @property
    def task_names(self) -> tuple[tuple[str, str], ...]:
        """(name, metric) of every task; empty without a finished run."""
        return tuple((task.name, task.metric) for task in self.runs[0].tasks) if self.runs else ()


def make_series(method: str, seeds: Sequence[int], runs: Iterable[Run]) -> Series:
    """``runs`` in order of their seeds; RunError when a seed is there twice or the runs are not of the same tasks."""
    ordered = sorted(runs, key=lambda run: list(seeds).index(run.seed))
    for first, second in zip(ordered, ordered[1:], strict=False):
        if first.seed == second.seed:
            raise RunError(f"{first.folder} and {second.folder} are both of seed {first.seed}")
    series = Series(method, tuple(seeds), tuple(ordered))
    check_same_tasks([series])
    return series


def check_same_tasks(many: Iterable[Series]) -> tuple[tuple[str, str], ...]:
    """(name, metric) of the tasks that all runs share; RunError naming two folders that differ, empty without runs."""
    runs = [run for series in many for run in series.runs]
    layouts = [tuple((task.name, task.metric) for task in run.tasks) for run in runs]
    for run, layout in zip(runs, layouts, strict=True):
        if layout != layouts[0]:
            raise RunError(f"{runs[0].folder} and {run.folder} have different tasks and cannot share a table")
    return layouts[0] if layouts else ()
