"""Draws a task's few shots, and the split of a folder that has no official one, from names and a seed.

A draw depends only on (seed, source, class), not on the collection that a source is part of or on the order of calls,
so single-task and multi-task methods see exactly the same images. Draws are nested: the 4 shots are the first 4 of the
8 shots. Drawn images are recorded beside the data, in `.few_shot/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from common.disk import sweep
from common.errors import InputError
from common.files import SEAL, is_regular, read_json, unsealed, write_record
from common.notices import notice
from common.text import counted, one_line, some
from prompting.tasks import Task

T = TypeVar("T")
Samples = list[tuple[str, int]]  # (path, class index within the task)

# 50 % train, 20 % validation, 30 % test within every class: the published rule for folders without a split.
SPLIT_PERCENT = (50, 20)
FEW = 10  # a class with fewer images keeps more of them for training
SURROGATES = "surrogateescape"  # of names of files that are not text in UTF-8
VALIDATION_SHOTS = 4  # the literature uses min(shots, 4) validation images per class


@dataclass
class TaskImages:
    """One task and its images. ``source`` and ``folders`` say where they are stored; draws depend on both."""

    task: Task
    source: str
    folders: tuple[str, ...]  # one per class
    train: Samples = field(default_factory=list)
    val: Samples = field(default_factory=list)
    test: Samples = field(default_factory=list)

    def with_classes(self, classes: range) -> TaskImages:
        """The task restricted to some of its classes, renumbered from 0."""
        parts = {
            part: [(path, index - classes.start) for path, index in getattr(self, part) if index in classes]
            for part in ("train", "val", "test")
        }
        task = replace(self.task, classnames=self.task.classnames[classes.start : classes.stop])
        return TaskImages(task, self.source, self.folders[classes.start : classes.stop], **parts)


def draw(items: Sequence[T], seed: int, *key: object) -> list[T]:
    """All items, shuffled in an order that depends only on ``seed`` and ``key``, on any machine and Python version."""
    shuffled = list(items)
    random.Random("/".join(map(str, (seed, *key)))).shuffle(shuffled)
    return shuffled


def by_class(samples: Sequence[tuple[str, int]]) -> dict[int, list[tuple[str, int]]]:
    """Samples (path, class index) grouped by class, in ascending order of classes."""
    groups: dict[int, list[tuple[str, int]]] = {}
    for sample in samples:
        groups.setdefault(sample[1], []).append(sample)
    return dict(sorted(groups.items()))


def few_shot(
    samples: Sequence[tuple[str, int]],
    shots: int,
    seed: int,
    source: str,
    classes: Sequence[str],
    allow_fewer: bool = False,
) -> list[tuple[str, int]]:
    """Draw ``shots`` samples of every class.

    Args:
        samples: (path, class index) in a fixed order.
        shots: images per class; below 1 means all of them.
        seed, source: determine the draw, together with the class.
        classes: the folder name of each class, which stays the same when the class gets a better name.
        allow_fewer: take all images of a class that has fewer than ``shots`` instead of raising an error.

    Raises:
        InputError: a class has fewer images than ``shots``.
    """
    if shots < 1:
        return list(samples)
    drawn = []
    groups = by_class(samples)
    for index, name in enumerate(classes):
        group = groups.get(index, [])
        if len(group) < shots and not allow_fewer:
            raise InputError(
                f"{counted(shots, 'shot')} asked for, but class '{name}' of task '{source}' has "
                f"{counted(len(group), 'training image')}; ask for at most that many, or set "
                "DATASET.ALLOW_FEWER_SHOTS True."
            )
        drawn += draw(group, seed, source, name)[:shots]
    return drawn


def validation_shots(images: TaskImages, shots: int, seed: int) -> Samples:
    """Draw at most VALIDATION_SHOTS validation images of every class."""
    few = min(shots, VALIDATION_SHOTS)
    return few_shot(images.val, few, seed, images.source, images.folders, allow_fewer=True)


def own_shots(images: TaskImages, shots: int, seed: int, root: Path, allow_fewer: bool) -> TaskImages:
    """The task with ``shots`` training images per class, see `few_shot`, and its `validation_shots`."""

    train = few_shot(images.train, shots, seed, images.source, images.folders, allow_fewer)
    val = validation_shots(images, shots, seed)
    record_draw(train, val, (images.train, images.val), root, images.source, f"shots_{shots}-seed_{seed}")
    return replace(images, train=train, val=val)


def name_fewer(tasks: Sequence[TaskImages], shots: int) -> None:
    """Name the classes with fewer than ``shots`` training images, which DATASET.ALLOW_FEWER_SHOTS permits."""
    few = []
    for images in tasks:
        counts = Counter(index for _, index in images.train)
        few += [(counts[i], f"{name} of {images.task.name}") for i, name in enumerate(images.task.classnames)]
    few = sorted(pair for pair in few if pair[0] < shots)
    if few:
        listed, have = some(f"{name} ({count})" for count, name in few), "has" if len(few) == 1 else "have"
        classes = counted(len(few), "class", "classes")
        notice(f"{classes} {have} fewer than {counted(shots, 'training image')}: {listed}.")


def without_fold(images: TaskImages, fold: str) -> TaskImages:
    """The task for one fold of a cross-validation on its training images, such as the few shots.

    The i-th training image of a class (from 0) is held out by fold i modulo the number of folds. Held-out images take
    the place of the test images, and there are no validation images: nothing but the training images is used. The only
    image of a class is never held out.

    Args:
        fold: "2/5" is the second of five folds.

    Raises:
        InputError: ``fold`` is not like that, or no class has as many images as there are folds.
    """
    number, count = read_fold(fold)
    groups = by_class(images.train).values()
    if max(map(len, groups), default=0) < count:  # a later fold would hold nothing out
        raise InputError(
            f"DATASET.FOLD is {fold}, but no class of task '{images.task.name}' has {counted(count, 'image')} "
            "for training; ask for fewer shots, so that there are fewer folds."
        )
    train: Samples = []
    held: Samples = []
    for group in groups:
        for i, sample in enumerate(group):
            (held if len(group) > 1 and i % count == number - 1 else train).append(sample)
    return replace(images, train=train, val=[], test=held)


def read_fold(fold: str) -> tuple[int, int]:
    """The number of a fold, from 1 on, and the number of folds; InputError if it is not like "2/5"."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", fold)
    if match:
        number, count = map(int, match.groups())
        if count >= 2 and 1 <= number <= count:
            return number, count
    raise InputError(f"DATASET.FOLD is '{fold}'; it must be one of at least two folds, such as 2/5.")


def all_images(images: TaskImages) -> TaskImages:
    """The task with every image for training, each once, and none left for validation or testing."""
    return replace(images, train=list(dict.fromkeys([*images.train, *images.val, *images.test])), val=[], test=[])


def split_in_three(
    samples: Sequence[tuple[str, int]], source: str, classes: Sequence[str]
) -> tuple[list[tuple[str, int]], list[tuple[str, int]], list[tuple[str, int]]]:
    """Split each class into train, validation and test, see `split_sizes`.

    The draw depends on a fixed seed and on folder names (see `few_shot`): the split belongs to the data, not to a run.
    """
    parts: tuple[Samples, Samples, Samples] = ([], [], [])
    for index, group in by_class(samples).items():
        if len(group) < 2:
            raise InputError(
                f"Class '{classes[index]}' of task '{source}' has a single image; training and testing need one each."
            )
        shuffled = draw(group, 0, source, classes[index], "split")
        first, val, _ = split_sizes(len(group))
        second = first + val
        for part, chosen in zip(parts, (shuffled[:first], shuffled[first:second], shuffled[second:]), strict=True):
            part.extend(chosen)
    return parts


def split_sizes(count: int) -> tuple[int, int, int]:
    """Training, validation and test images of a class with ``count`` images, at least two.

    By SPLIT_PERCENT from FEW images on. Below, a third or less is tested, one image is for validation from four images
    on (two from ten), and training has the rest: 4 images make 2, 1 and 1; 8 make 5, 1 and 2.
    """
    if count >= FEW:
        train, val = count * SPLIT_PERCENT[0] // 100, count * SPLIT_PERCENT[1] // 100
        return train, val, count - train - val
    test, val = max(1, count * (100 - sum(SPLIT_PERCENT)) // 100), int(count >= 4)
    return count - val - test, val, test


def record_draw(
    train: Samples, val: Samples, pools: tuple[Samples, Samples], root: Path, source: str, name: str
) -> None:
    """Record few-shot samples, drawn from ``pools``, in ``<root>/.few_shot/<source>/<name>.json``.

    The record is for people and other programs: nothing is read back from it. A draw depends on nothing but the images
    and the seed, so it is always made again, and a line says so if the record is of another one or damaged.

    A record lists (path below the data root, class index), a hash of all files that were drawn from, and a hash of its
    own content. It is written atomically, so several runs may start at once. If the data root is not writable, nothing
    is recorded.
    """
    path = record_path(root, source, name)
    start = f"{root}{os.sep}"
    files = hashlib.sha256()
    for pool in pools:
        files.update(
            "\n".join(f"{file.removeprefix(start)}\t{index}" for file, index in pool).encode(errors=SURROGATES)
        )
        files.update(b"\n\n")
    record: dict[str, Any] = {"files": files.hexdigest()}
    for part, samples in (("train", train), ("val", val)):
        record[part] = [[file.removeprefix(start), index] for file, index in samples]
    reason = _difference(path, source, record)
    if reason is None:
        return
    if reason:
        notice(f"{reason}; its few-shot images are drawn again.")
    if os.path.lexists(path) and not is_regular(path):
        return  # not ours
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, [path.name])
        write_record(path, record, indent=0)


def record_path(root: Path, source: str, name: str) -> Path:
    """Where a draw is recorded. A source outside the data root ("../photos") has its record below .few_shot too."""
    place = Path(source)
    changed = {"..": "%2E%2E", place.anchor: quote(place.anchor, safe="")}
    return root.joinpath(".few_shot", *(changed.get(part, part) for part in place.parts), f"{name}.json")


def _difference(path: Path, source: str, record: dict[str, Any]) -> str | None:
    """Why a record is written: "" if there is none yet, else what is wrong with it; None if it is as it should be."""
    try:
        content = read_json(path)
        sealed = isinstance(content, dict) and SEAL in content
        old = unsealed(content) if sealed else content
        if old == record:
            return None if sealed else ""  # an earlier version's, which has no checksum
        if old["files"] != record["files"]:
            return f"The images of {source} have changed since {path} was written"
        return f"{path} lists other images than are drawn from the same files"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and not os.path.lexists(path):
            return ""  # its folder is a file
        return f"{path} is damaged ({one_line(getattr(error, 'strerror', None) or error)})"
