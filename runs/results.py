"""Finished runs, read from their results.json files only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from common.files import SEAL, read_text, unsealed
from common.paths import EVALUATION, FOLDS, RESULTS, TESTED, TRACES
from common.text import one_line, printable

LARGEST = 1 << 62  # of a number in a record; larger ones are damage
CALIBRATION = ("ece", "ece_uncalibrated")  # of a task, in percent


class RunError(Exception):
    """A run folder cannot be reported; the message is one line with the folder and the reason."""


class DamagedRun(RunError):
    """A finished run's record was damaged or edited; ``reason`` begins with its path."""

    def __init__(self, reason: str):
        super().__init__(f"{reason}; it does not count as finished, and the run's command runs it again")


@dataclass(frozen=True)
class Example:
    """A misclassified test image: its path below the run's ``data_root`` and class indices in its task."""

    image: str
    true: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class TaskScore:
    """A run's result on one task; ``accuracy`` is in percent, and ``metric`` is "A" (overall) or "C" (class mean).

    The rest is None or empty if the run did not record it, as older runs did not: the number of ``classes``, their
    names, the non-zero entries of the ``confusion`` matrix as (true class, predicted class, images), ``examples`` of
    errors, the ``temperature`` of confidences, and the expected calibration error in percent with it, ``ece``, and
    without.
    """

    name: str
    metric: str
    accuracy: float
    classes: int | None = None
    classnames: tuple[str, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()
    examples: tuple[Example, ...] = ()
    temperature: float | None = None
    ece: float | None = None
    ece_uncalibrated: float | None = None
    temperature_from: str = ""  # what the temperature is from, in a few words


@dataclass(frozen=True)
class Words:
    """The context ``of`` a task or class: for each of its vectors, the nearest vocabulary words with distances."""

    of: str
    nearest: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Contexts:
    """A run's learned contexts: square matrices of cosines between tasks, by what was compared, and nearest words."""

    similarity: dict[str, tuple[tuple[float, ...], ...]]
    words: tuple[Words, ...]


@dataclass(frozen=True)
class Run:
    """One finished run; ``seconds`` has "train", "test" and "total".

    ``checkpoint`` is a hash of the final or evaluated checkpoint; None if there is none or the run did not record it.
    The fields after it are None or empty if not recorded: train.py's arguments, the folder that image paths are
    relative to, package versions, and the learned contexts.
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
        """Settings that override the config, as in the folder's name: "KEY=VALUE", joined by +; empty if none."""
        return variant_of(self.folder, self.config)

    @property
    def mean(self) -> float:
        """The unweighted mean of the tasks' accuracies, in percent."""
        return fmean(task.accuracy for task in self.tasks)


def _field(record: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return ``record[key]``; RunError naming ``where`` unless it is of type ``kind``."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DamagedRun(f"{where} has no usable '{key}'")
    return printable(value) if isinstance(value, str) else value


def _number(record: Any, key: str, most: float, where: str, whole: bool = False) -> Any:
    """Return the number ``record[key]``, which is from 0 to ``most`` or NaN; RunError naming ``where`` otherwise."""
    value = _field(record, key, int if whole else (int, float), where)
    if not (0 <= value <= most or value != value):
        raise DamagedRun(f"{where} has '{key}' {str(value)[:20]}, which cannot be")
    return value


def _whole(record: Any, key: str, where: str) -> int:
    """Return the whole number ``record[key]``, which may be negative: -1 shots are all images."""
    value = _field(record, key, int, where)
    if abs(value) > LARGEST:
        raise DamagedRun(f"{where} has '{key}' {str(value)[:20]}, which cannot be")
    return value


def variant_of(folder: Path, config: str) -> str:
    """The settings in the name of a run's folder, .../<config>+KEY=VALUE/<n>shots/seed<k>; empty if none."""
    if len(folder.parts) < 3 or not re.fullmatch(r"-?\d+shots", folder.parts[-2]):
        return ""
    name = folder.parts[-3]
    return name[len(config) + 1 :] if name.startswith(f"{config}+") else ""


def read_record(folder: str | Path, file: str = RESULTS) -> dict:
    """The content of a finished run's results.json, or of another ``file`` with the finished mark.

    Raises:
        RunError: there is none, or it has no finished mark. DamagedRun: it cannot be read, is not JSON, or its checksum
            differs. Results of earlier versions have no checksum and are read without.
    """
    folder = Path(folder)
    path = folder / file
    try:
        record = json.loads(read_text(path))  # NaN is allowed: the accuracy on a task without test images
        if isinstance(record, dict) and SEAL in record:
            unsealed(record)
    except FileNotFoundError:
        raise RunError(f"{folder} is not finished: it has no {file}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRun(f"{path} cannot be read: {_reason(error)}") from None
    if not isinstance(record, dict) or record.get("finished") is not True:
        raise RunError(f"{folder} is not finished: {file} has no finished mark")
    return record


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or one_line(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
        return "it is not complete JSON"
    return f"{one_line(error)}, so it was damaged or edited"


def read_results(folder: str | Path) -> dict | None:
    """Like ``read_record``, but None if there is no finished run."""
    try:
        return read_record(folder)
    except RunError:
        return None


def read_run(folder: str | Path, file: str = RESULTS) -> Run:
    """The finished run in ``folder``, or the finished evaluation if ``file`` is EVALUATION.

    Raises RunError if there is none (see ``read_record``), or a required field is missing or cannot be.
    """
    folder = Path(folder)
    record = read_record(folder, file)
    where = str(folder / file)
    tasks = tuple(_task(task, where) for task in _field(record, "tasks", list, where))
    if not tasks:
        raise DamagedRun(f"{where} lists no tasks")
    seconds = _field(record, "seconds", dict, where)
    return Run(
        folder=folder,
        **{key: _field(record, key, str, where) for key in ("method", "dataset", "config", "backbone")},
        shots=_whole(record, "shots", where),
        seed=_whole(record, "seed", where),
        tasks=tasks,
        parameters=_number(_field(record, "counts", dict, where), "trainable_parameters", LARGEST, where, whole=True),
        seconds={key: float(_number(seconds, key, LARGEST, where)) for key in ("train", "test", "total")},
        checkpoint=str(record["checkpoint"]) if record.get("checkpoint") else None,
        command=_strings(record.get("command")),
        data_root=record["data_root"] if isinstance(record.get("data_root"), str) else None,
        versions={str(k): str(v) for k, v in _dict(record.get("versions")).items()},
        contexts=_contexts(record.get("contexts"), len(tasks)),
    )


def _task(record: Any, where: str) -> TaskScore:
    """A task's results; malformed optional fields are treated as absent, so that the accuracy can still be shown."""
    names, classes = _strings(record.get("classnames") if isinstance(record, dict) else None), None
    name, metric = (_field(record, key, str, where) for key in ("name", "metric"))
    if "accuracy" in record and record["accuracy"] is None:  # of a run that was trained on all images
        record = record | {"accuracy": math.nan}
    accuracy = _field(record, "accuracy", (int, float), where)
    accuracy = math.nan if accuracy in (math.inf, -math.inf) else _number(record, "accuracy", 100.0 + 1e-6, where)
    if isinstance(record.get("classes"), int) and 0 < record["classes"] <= LARGEST:
        classes = record["classes"]
    ece, uncalibrated = (_optional(record, key, 100.0 + 1e-6) for key in CALIBRATION)
    return TaskScore(
        name, metric, accuracy, len(names) or classes, names,
        _readable(record.get("confusion"), lambda entry: _confused(entry, len(names))),
        _readable(record.get("examples"), lambda entry: _example(entry, len(names))),
        _optional(record, "temperature", LARGEST) or None,
        ece, uncalibrated, str(record.get("temperature_from", "")),
    )  # fmt: skip


def _optional(record: dict[str, Any], key: str, most: float) -> float | None:
    """A number from 0 to ``most``; None if there is none."""
    value = record.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= most else None


def _readable(entries: Any, read: Callable[[Any], Any]) -> tuple:
    """``read`` applied to a list's entries; empty if any entry is malformed."""
    try:
        return tuple(map(read, entries)) if isinstance(entries, list) else ()
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        return ()


def _confused(entry: Any, classes: int) -> tuple[int, int, int]:
    true, predicted, count = map(int, entry)
    if not (0 <= true < classes and 0 <= predicted < classes and 0 < count <= LARGEST):
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
    nearest = tuple(
        tuple((printable(str(word)), float(distance)) for word, distance in vector) for vector in entry["nearest"]
    )
    return Words(printable(str(entry["of"])), nearest)


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(printable(str(part)) for part in value) if isinstance(value, list) else ()


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def run_folders(root: str | Path) -> list[Path]:
    """All run folders under ``root``, finished or not, sorted by path; evaluations and folds are excluded."""
    root = Path(root)
    folders = {path.parent for trace in TRACES for path in root.rglob(trace)}
    return sorted(
        folder
        for folder in folders
        if TESTED not in folder.relative_to(root).parts
        and folder.parent.name != FOLDS
        and ((folder / RESULTS).exists() or not (folder / EVALUATION).exists())
    )


def find_runs(root: str | Path) -> tuple[list[Run], list[str]]:
    """All finished runs under ``root``, sorted by path, and a line with the reason for each run folder without one.

    Folders of evaluations are excluded.
    """
    found: list[Run] = []
    skipped: list[str] = []
    for folder in run_folders(root):
        try:
            found.append(read_run(folder))
        except RunError as error:
            skipped.append(str(error))
    return found, skipped
