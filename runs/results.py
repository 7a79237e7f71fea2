"""Finished runs, read from their results.json files alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from common.paths import EVALUATION, RESULTS, TESTED, TRACES


class RunError(Exception):
    """A run folder that cannot be reported; the message is one line with the folder and the reason."""


@dataclass(frozen=True)
class Example:
    """A test image, by its path below the run's ``data_root``, that was taken for another class of its task."""

    image: str
    true: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class TaskScore:
    """What a run reached on one task; ``accuracy`` is in percent by ``metric``: "A" overall, "C" mean over classes.

    What older runs did not record is None or empty: the number of ``classes``, their ``names``, the ``confusion`` as
    (true class, predicted class, images) where there are any, and ``examples`` of errors.
    """

    name: str
    metric: str
    accuracy: float
    classes: int | None = None
    classnames: tuple[str, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Words:
    """``nearest``: for each vector of the context of a task or class, the nearest vocabulary words with distances."""

    of: str
    nearest: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Contexts:
    """What a run learned: cosines between tasks, a square matrix by what was compared, and the nearest words."""

    similarity: dict[str, tuple[tuple[float, ...], ...]]
    words: tuple[Words, ...]


@dataclass(frozen=True)
class Run:
    """One finished run. ``shots`` and ``seed`` are its own, ``seconds`` has "train", "test" and "total".

    ``checkpoint`` is a hash of the one that it ended with or evaluated; None where there is none, or none was noted.
    What follows it is None or empty where a run did not record it: train.py's arguments, the folder that image paths
    are relative to, versions of what it ran with, and what it learned.
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
    command: tuple[str, ...] = ()
    data_root: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    contexts: Contexts | None = None

    @property
    def variant(self) -> str:
        """Settings beyond its config's, as its folder names them: "KEY=VALUE" with + between several, or empty."""
        return variant_of(self.folder, self.config)

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


def variant_of(folder: Path, config: str) -> str:
    """What follows the config in the name of a run's folder, .../<config>+KEY=VALUE/<n>shots/seed<k>."""
    if len(folder.parts) < 3 or not re.fullmatch(r"-?\d+shots", folder.parts[-2]):
        return ""
    name = folder.parts[-3]
    return name[len(config) + 1 :] if name.startswith(f"{config}+") else ""


def read_record(folder: str | Path, file: str = RESULTS) -> dict:
    """The content of a finished run's results.json, or of another ``file`` that says that it is finished.

    Raises RunError when there is none: no such file, one that is not JSON, no finished mark.
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
    return record


def read_results(folder: str | Path) -> dict | None:
    """The same, or None when there is no finished run."""
    try:
        return read_record(folder)
    except RunError:
        return None


def read_run(folder: str | Path, file: str = RESULTS) -> Run:
    """The finished run in ``folder``, or the finished evaluation where ``file`` is EVALUATION.

    Raises RunError when there is none (see ``read_record``), or when it lacks something.
    """
    folder = Path(folder)
    record = read_record(folder, file)
    where, number = str(folder / file), (int, float)
    tasks = tuple(_task(task, where) for task in _field(record, "tasks", list, where))
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
        command=_strings(record.get("command")),
        data_root=record["data_root"] if isinstance(record.get("data_root"), str) else None,
        versions={str(k): str(v) for k, v in _dict(record.get("versions")).items()},
        contexts=_contexts(record.get("contexts"), len(tasks)),
    )


def _task(record: Any, where: str) -> TaskScore:
    """A task's figures; what is optional and not as it should be counts as absent, so that figures are shown anyway."""
    names, classes = _strings(record.get("classnames") if isinstance(record, dict) else None), None
    name, metric = (_field(record, key, str, where) for key in ("name", "metric"))
    accuracy = _field(record, "accuracy", (int, float), where)
    if isinstance(record.get("classes"), int):
        classes = record["classes"]
    return TaskScore(
        name, metric, accuracy, classes or len(names) or None, names,
        _readable(record.get("confusion"), lambda entry: _confused(entry, len(names))),
        _readable(record.get("examples"), lambda entry: _example(entry, len(names))),
    )  # fmt: skip


def _readable(entries: Any, read: Callable[[Any], Any]) -> tuple:
    """What ``read`` makes of a list's entries; nothing if it cannot do one of them."""
    try:
        return tuple(map(read, entries)) if isinstance(entries, list) else ()
    except (TypeError, ValueError, KeyError, IndexError):
        return ()


def _confused(entry: Any, classes: int) -> tuple[int, int, int]:
    true, predicted, count = map(int, entry)
    if not (0 <= true < classes and 0 <= predicted < classes and count > 0):
        raise ValueError
    return true, predicted, count


def _example(entry: Any, classes: int) -> Example:
    true, predicted, _ = _confused([entry["true"], entry["predicted"], 1], classes)
    return Example(str(entry["image"]), true, predicted, float(entry["confidence"]))


def _contexts(record: Any, tasks: int) -> Contexts | None:
    if not isinstance(record, dict):
        return None
    found = {str(of): _readable(rows, _row) for of, rows in _dict(record.get("task_similarity")).items()}
    square = {of: rows for of, rows in found.items() if len(rows) == tasks and all(len(row) == tasks for row in rows)}
    return Contexts(square, _readable(record.get("words"), _words))


def _row(values: Any) -> tuple[float, ...]:
    return tuple(math.nan if value is None else float(value) for value in values)


def _words(entry: Any) -> Words:
    nearest = tuple(tuple((str(word), float(distance)) for word, distance in vector) for vector in entry["nearest"])
    return Words(str(entry["of"]), nearest)


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def run_folders(root: str | Path) -> list[Path]:
    """All folders under ``root`` that are a run's, finished or not, in order; those of evaluations are not."""
    root = Path(root)
    folders = {path.parent for trace in TRACES for path in root.rglob(trace)}
    return sorted(
        folder
        for folder in folders
        if TESTED not in folder.relative_to(root).parts
        and ((folder / RESULTS).exists() or not (folder / EVALUATION).exists())
    )


def find_runs(root: str | Path) -> tuple[list[Run], list[str]]:
    """All finished runs under ``root`` in order of paths, and for every other run folder a line that says why.

    Folders of evaluations are neither.
    """
    found: list[Run] = []
    skipped: list[str] = []
    for folder in run_folders(root):
        try:
            found.append(read_run(folder))
        except RunError as error:
            skipped.append(str(error))
    return found, skipped
