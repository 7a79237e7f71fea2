"""Which images are a task's few shots, and how a folder without an official split is split: drawn from names and a
seed.

Draws depend on (seed, source, class) alone, never on the collection a source stands in or on the order of calls, so
that single-task and multi-task methods see the very same images. The first 4 of 8 shots are the 4 shots: draws are
nested. What was drawn is recorded beside the data, in `.few_shot/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from common.errors import InputError
from common.files import write_atomically

T = TypeVar("T")
Samples = list[tuple[str, int]]  # (path, class index within the task)

# 50 % train, 20 % validation, 30 % test within every class: the published rule for folders without a split.
SPLIT_PERCENT = (50, 20)


def draw(items: Sequence[T], seed: int, *key: object) -> list[T]:
    """All items in an order that depends only on ``seed`` and ``key`` (the same on every machine and Python)."""
    shuffled = list(items)
    random.Random("/".join(map(str, (seed, *key)))).shuffle(shuffled)
    return shuffled


def by_class(samples: Sequence[tuple[str, int]]) -> dict[int, list[tuple[str, int]]]:
    """Samples (path, class index) grouped by class, classes in ascending order."""
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
    """``shots`` samples of every class.

    Args:
        samples: (path, class index) in a fixed order.
        shots: images per class; below 1 means all of them.
        seed, source: what the draw depends on, besides the class.
        classes: what each class is called where it lies (its folder), which stays when it gets a better name.
        allow_fewer: take all images of a class that has fewer than ``shots`` instead of refusing.

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
                f"{shots} shots asked for, but class '{name}' of task '{source}' has {len(group)} training images; "
                "ask for at most that many, or set DATASET.ALLOW_FEWER_SHOTS True."
            )
        drawn += draw(group, seed, source, name)[:shots]
    return drawn


def split_in_three(
    samples: Sequence[tuple[str, int]], source: str, classes: Sequence[str]
) -> tuple[list[tuple[str, int]], list[tuple[str, int]], list[tuple[str, int]]]:
    """Train, validation and test samples by SPLIT_PERCENT within each class; at least one image in train and in test.

    Drawn from a fixed seed and the names of folders (see `few_shot`): the split is part of the data, not of a run.
    """
    parts: tuple[list, list, list] = ([], [], [])
    for index, group in by_class(samples).items():
        if len(group) < 2:
            raise InputError(
                f"Class '{classes[index]}' of task '{source}' has a single image; training and testing need one each."
            )
        shuffled = draw(group, 0, source, classes[index], "split")
        first = max(1, len(group) * SPLIT_PERCENT[0] // 100)
        second = min(first + len(group) * SPLIT_PERCENT[1] // 100, len(group) - 1)
        for part, chosen in zip(parts, (shuffled[:first], shuffled[first:second], shuffled[second:]), strict=True):
            part.extend(chosen)
    return parts


def recorded(
    draw_both: Callable[[], tuple[Samples, Samples]], pools: tuple[Samples, Samples], root: Path, source: str, name: str
) -> tuple[Samples, Samples]:
    """Few-shot training and validation samples: those of the record ``<root>/.few_shot/<source>/<name>.json`` if it was
    made from the same files, otherwise newly drawn and recorded.

    A record lists (path below the data root, class index) and a hash of all files that were drawn from. It is written
    whole or not at all, so that runs may start at once; where the data root cannot be written, nothing is recorded.
    """
    path = root / ".few_shot" / source / f"{name}.json"
    start = f"{root}{os.sep}"
    files = hashlib.sha256()
    for pool in pools:
        files.update("\n".join(f"{file.removeprefix(start)}\t{index}" for file, index in pool).encode())
        files.update(b"\n\n")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["files"] == files.hexdigest():
            return tuple([(start + file, index) for file, index in record[part]] for part in ("train", "val"))
        print(f"The images of {source} are not those that {path} was drawn from; they are drawn anew.")
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or not one of ours
    train, val = draw_both()
    record = {"files": files.hexdigest()}
    for part, samples in (("train", train), ("val", val)):
        record[part] = [(file.removeprefix(start), index) for file, index in samples]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record, indent=0))
    return train, val
