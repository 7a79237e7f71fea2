"""A classifier on disk: two files that a run leaves in its folder, or that were saved elsewhere.

    classifier.json         tasks, classes, accuracies as measured, pixels, tower, kind of head; sealed by a checksum
    classifier.safetensors  the tensors of heads and of what writes prompts; classifier.json has its hash

Seeds whose heads do not merge have a head each: "heads" is a list, and tensor "<name>" of head k is called
"heads.<k>.<name>". What writes prompts for new questions is likewise a list, "questions", with one entry for each seed.
Format 1 had one head, "head", whose tensors had no prefix, and no questions.

Nothing in the files is pickled. The tensors are written first, so a killed writer leaves no pair that would be trusted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifier.heads import Head, State
from classifier.questions import Questions
from common.errors import InputError
from common.files import is_regular, read_bytes, read_record, replacing, write_record
from common.paths import CLASSIFIER as RECORD
from common.paths import EVALUATION, RESULTS, TRACES
from common.paths import WEIGHTS as TENSORS
from common.text import one_line, some
from prompting.feature_bank import tower_digest
from prompting.finite import not_finite
from prompting.image_precision import PRECISIONS, name_of
from prompting.tasks import Task, TaskLayout
from prompting.towers import Tower
from prompting.views import Shown, shown

FORMAT = 2  # raised when a bundle changes in a way that earlier versions would misread
READ = (1, FORMAT)
TENSOR_BYTES = 64 << 30
# What `write_bundle` writes besides "about".
WRITTEN = set("format tasks measured tested pixels tower heads head questions tensors".split())
DECLARED = {"name", "classnames", "template", "metric", "temperature"}  # of a task; the others were measured
DTYPES = {name_of(dtype): dtype for dtype in (torch.float32, torch.float16, torch.bfloat16)}


Measured = Sequence[Mapping[str, Any]]  # what a test gave, for each task


@dataclass(frozen=True)
class UsedTower:
    """The tower that a classifier was trained and tested with.

    Args:
        name: as `prompting.towers.load_tower` takes it.
        precision: the method's PREC.
        dtype, image_dtype: what the towers computed in, of DTYPES.
        image_digest, text_digest: hashes of the towers' weights in that dtype; the text tower's is "" if the
            classifier never needs it.
        activation: of the text tower's blocks.
        data_root: a folder where a relative path of a checkpoint is looked for.
    """

    name: str
    precision: str
    dtype: str
    image_dtype: str
    image_digest: str
    text_digest: str
    activation: str
    data_root: str

    def same(self, other: UsedTower) -> bool:
        """Return whether features are the same: weights, activation and precision, wherever the tower lies.

        A text tower of unknown weights counts as the same.
        """
        keys = ["precision", "dtype", "image_dtype", "image_digest", "activation"]
        keys += ["text_digest"] if self.text_digest and other.text_digest else []
        return all(getattr(self, key) == getattr(other, key) for key in keys)


def used(tower: Tower, precision: str, needs_text: bool, data_root: str) -> UsedTower:
    """Describe a run's tower; hashing takes about a second for each GB of its weights."""
    return UsedTower(
        tower.name,
        precision,
        name_of(tower.dtype),
        name_of(tower.image_dtype),
        tower_digest(tower.visual, printed=False),
        tower_digest(tower.text, printed=False) if needs_text else "",
        tower.activation,
        data_root,
    )


@dataclass(frozen=True)
class Bundle:
    """A classifier as it was read: its files are intact, and its values have their types."""

    folder: Path
    layout: TaskLayout
    pixels: Shown
    tower: UsedTower
    method: str
    heads: tuple[State, ...]  # one, or one for each seed: JSON values and tensors
    questions: tuple[State | None, ...]  # one for each seed; None if the method writes no prompts for new questions
    measured: tuple[Measured, ...]  # of each head, or of each seed of a merged one
    tested: Measured  # of all seeds as one; empty mappings where that was not measured
    temperatures: list[list[float]]  # for each head that of each task, see `classifier.calibration`
    record: Mapping[str, Any]  # the whole of classifier.json


def write_bundle(
    folder: Path,
    heads: Sequence[Head],
    pixels: Shown,
    tower: UsedTower,
    measured: Sequence[Measured],
    about: Mapping[str, Any],
    questions: Sequence[Questions | None] = (),
    temperatures: Sequence[Sequence[float]] = (),
    tested: Measured = (),
) -> None:
    """Write a classifier into a folder.

    Args:
        heads, pixels, tower: how it classifies; several heads are those of several seeds.
        measured: for each seed what its test gave, a mapping for each task: "accuracy" in percent, "confusion",
            "temperature", ...
        about: what else classifier.json says: "method", "shots", "seeds", "versions", "command", ...
        questions: for each seed what writes prompts of classes that were not trained on.
        temperatures: for each head one for each task; 1 without them.
        tested: what a test of all seeds as one gave, a mapping for each task.
    """
    from safetensors.torch import save

    layout, tensors = heads[0].layout, {}
    states: dict[str, list[dict[str, Any] | None]] = {"heads": [], "questions": []}
    for what, parts in (("heads", heads), ("questions", questions)):
        for number, part in enumerate(parts):
            values, own = (None, {}) if part is None else part.state()
            states[what].append(values)
            tensors.update({f"{what}.{number}.{name}": tensor for name, tensor in own.items()})
    content = save(tensors)
    with replacing(folder / TENSORS) as temporary:
        temporary.write_bytes(content)
    one = len(measured) == 1
    tasks = [
        {
            **(measured[0][number] if one else {}),
            **({"temperature": temperatures[0][number]} if len(temperatures) == 1 else {}),
            "name": task.name,
            "classnames": task.classnames,
            "template": task.template,
            "metric": task.metric,
        }
        for number, task in enumerate(layout.tasks)
    ]
    if len(temperatures) > 1:
        for values, numbers in zip(states["heads"], temperatures, strict=True):
            assert values is not None
            values["temperatures"] = list(numbers)
    record = {
        "format": FORMAT,
        **about,
        "tasks": tasks,
        **({} if one else {"measured": measured}),
        **({"tested": tested} if any(tested) else {}),
        "pixels": pixels.recorded(),
        "tower": vars(tower),
        **states,
        "tensors": hashlib.sha256(content).hexdigest(),
    }
    write_record(folder / RECORD, record)


def read_bundle(folder: Path) -> Bundle:
    """Read a classifier from a run's folder or a bundle.

    Raises:
        InputError: there is none, the run is not finished or is of an earlier version, or a file is missing or altered.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give the folder of a finished run, or of a classifier.")
    _check_finished(folder)
    if not is_regular(folder / RECORD):
        raise InputError(f"{folder} has no {RECORD}; give the folder of a finished run, or of a classifier.")
    try:
        record = read_record(folder / RECORD)
        if record["format"] not in READ:
            raise InputError(
                f"{folder / RECORD} has format {record['format']}, and this version reads {some(map(str, READ))}; use "
                "the version that wrote it, or run its command again."
            )
        tasks = (
            Task(str(t["name"]), tuple(map(str, t["classnames"])), str(t["template"]), str(t["metric"]))
            for t in record["tasks"]
        )
        heads, questions = _states(record, _tensors(folder / TENSORS, record["tensors"]))
        return Bundle(
            folder,
            TaskLayout(tuple(tasks)),
            shown(record["pixels"]),
            _tower_of(record["tower"]),
            str(record["method"]),
            heads,
            questions,
            _measured(record),
            [dict(task) for task in record.get("tested", [{}] * len(record["tasks"]))],
            _temperatures(record, heads),
            record,
        )
    except OSError as error:
        raise InputError(f"{folder / RECORD} cannot be read ({one_line(error.strerror or error)}).") from None
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise damaged(folder / RECORD, error) from None


def damaged(path: Path, why: Exception) -> InputError:
    """Return the error for a file that is not what was written."""
    reason = f"it has no {why}" if isinstance(why, KeyError) else one_line(why) or type(why).__name__
    return InputError(
        f"{path} is damaged or was changed ({reason}); run its command again with --redo, or copy it again."
    )


def _check_finished(folder: Path) -> None:
    """Raise InputError for the folder of a run that did not finish, or that has no classifier."""
    results = next((name for name in (RESULTS, EVALUATION) if os.path.lexists(folder / name)), None)
    if results is None:
        if any(os.path.lexists(folder / name) for name in TRACES):
            raise InputError(f"The run in {folder} is not finished; call its command again, which continues it.")
        return
    try:
        finished = read_record(folder / results).get("finished") is True
    except (OSError, ValueError):
        finished = False
    if not os.path.lexists(folder / RECORD):
        raise InputError(
            f"{folder} has {results} but no {RECORD}: an earlier version, or a method that writes none, ran there; run "
            "its command again with --redo, or test its checkpoint with --eval-only, which writes one."
        )
    if not finished:
        raise InputError(f"{folder / results} is damaged or was changed; run its command again.")


def _tower_of(record: Mapping[str, Any]) -> UsedTower:
    tower = UsedTower(**record)
    if not all(isinstance(value, str) for value in vars(tower).values()):
        raise TypeError("its tower is damaged")
    if tower.precision not in PRECISIONS or not {tower.dtype, tower.image_dtype} <= DTYPES.keys():
        raise ValueError(f"its precision is {tower.precision}, {tower.dtype}, {tower.image_dtype}")
    return tower


def _states(
    record: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[tuple[State, ...], tuple[State | None, ...]]:
    """Return the states of heads and of questions; LookupError, TypeError or ValueError if they are not there."""
    if record["format"] == 1:
        return ((dict(record["head"]), dict(tensors)),), (None,)
    heads, questions = record["heads"], record["questions"]
    seeds = len(record["measured"]) if "measured" in record else 1
    if not isinstance(heads, list) or len(heads) not in (1, seeds):
        raise ValueError("its heads are not those of its seeds")
    if not isinstance(questions, list) or len(questions) != seeds:
        raise ValueError("its questions are not those of its seeds")
    own: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        what, number, rest = name.split(".", 2)
        own.setdefault(f"{what}.{number}", {})[rest] = tensor
    states = [(dict(values), own.pop(f"heads.{number}", {})) for number, values in enumerate(heads)]
    writers = [
        None if values is None else (dict(values), own.pop(f"questions.{number}", {}))
        for number, values in enumerate(questions)
    ]
    if own:
        raise ValueError(f"nothing needs '{next(iter(own))}'")
    return tuple(states), tuple(writers)


def _temperatures(record: Mapping[str, Any], heads: Sequence[State]) -> list[list[float]]:
    """Return them, 1 where none was fitted; TypeError or ValueError if one makes no sense."""
    of_tasks = [task.get("temperature", 1.0) for task in record["tasks"]]
    rows = [[float(x) for x in values.get("temperatures", of_tasks)] for values, _ in heads]
    for row in rows:
        if len(row) != len(of_tasks) or not all(0 < x < float("inf") for x in row):
            raise ValueError(f"its temperatures are {row}")
    return rows


def _measured(record: Mapping[str, Any]) -> tuple[Measured, ...]:
    if "measured" in record:
        return tuple([dict(task) for task in seed] for seed in record["measured"])
    return ([{key: value for key, value in task.items() if key not in DECLARED} for task in record["tasks"]],)


def _tensors(path: Path, digest: str) -> dict[str, Tensor]:
    """Return the tensors in a file that has a hash."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not os.path.lexists(path):
        raise InputError(f"{path} is missing, which {RECORD} beside it names; copy both files.")
    try:
        content = read_bytes(path, TENSOR_BYTES)
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its checksum differs")
        tensors = load(content)
        bad = not_finite(tensors.items())
        if bad is not None:
            raise ValueError(f"'{bad}' is not finite")
        return tensors
    except OSError as error:
        raise InputError(f"{path} cannot be read ({one_line(error.strerror or error)}).") from None
    except (SafetensorError, ValueError) as error:
        raise damaged(path, error) from None


def check_seeds(bundles: Sequence[Bundle]) -> None:
    """Raise InputError if bundles are not of different seeds of one command, each of a single one."""
    for bundle in bundles if len(bundles) > 1 else ():
        if len(bundle.measured) > 1:
            raise InputError(
                f"{bundle.folder} has several seeds already; give it alone, or give the folders of its runs."
            )
        _check_alike(bundles[0], bundle)
    seeds = [(seed, bundle.folder) for bundle in bundles for seed in bundle.record.get("seeds", [])]
    first: dict[object, Path] = {}
    for seed, folder in seeds:
        if first.setdefault(seed, folder) is not folder:
            raise InputError(f"{first[seed]} and {folder} are both seed {seed}; give one of them.")


def _check_alike(first: Bundle, other: Bundle) -> None:
    pairs = f"{first.folder} and {other.folder}"
    if first.method != other.method:
        raise InputError(f"{pairs} have other methods, {first.method} and {other.method}; give seeds of one command.")
    names = [[task.name for task in bundle.layout.tasks] for bundle in (first, other)]
    if names[0] != names[1]:
        raise InputError(f"{pairs} have other tasks, {some(names[0])} and {some(names[1])}; give seeds of one command.")
    for task, second in zip(first.layout.tasks, other.layout.tasks, strict=True):
        if task.classnames != second.classnames:
            raise InputError(f"{pairs} have other classes in task '{task.name}'; give seeds of one command.")
    for key in ("dataset", "shots", "config"):
        ours, theirs = first.record.get(key), other.record.get(key)
        if ours != theirs:
            raise InputError(f"{pairs} have another {key.rstrip('s')}, {ours} and {theirs}; give seeds of one command.")
    templates = [[task.template for task in bundle.layout.tasks] for bundle in (first, other)]
    if _settings(first) != _settings(other) or templates[0] != templates[1]:
        raise InputError(f"{pairs} were trained with other settings of {first.method}; give seeds of one command.")
    if not first.tower.same(other.tower):
        towers = f"{first.tower.name} in {first.tower.image_dtype} and {other.tower.name} in {other.tower.image_dtype}"
        raise InputError(f"{pairs} have other towers, {towers}; give seeds of one command.")
    if first.pixels != other.pixels:
        raise InputError(f"{pairs} show the tower other pixels; give seeds of one command.")


def _settings(bundle: Bundle) -> list[object]:
    """What writes prompts, without what was learned or measured, and from which images: seeds of one command agree in
    it."""

    def of_seed(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> object:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        return {key: value for key, value in values.items() if key not in ("images", "known", "weight")}, shapes

    return [None if state is None else of_seed(*state) for state in bundle.questions]
