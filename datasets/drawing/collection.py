"""Writes Garden-8 as files: pictures in folders and a ``split.json`` that lists them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from common.files import write_record

from .draw import draw
from .place import SPLIT, Plan, check_ours, is_complete, put, slug, sweep, temporary
from .scene import Scene, random_scene
from .tasks import COMMON_STYLES, RARE_STYLES, TASKS

SPLITS: tuple[str, ...] = ("train", "val", "test")

#: Four out of five pictures are in a style that the tower rarely saw.
STYLE_WEIGHTS: dict[str, float] = {s: 0.2 / len(COMMON_STYLES) for s in COMMON_STYLES} | {
    s: 0.8 / len(RARE_STYLES) for s in RARE_STYLES
}

#: Must change whenever the pictures of the same seed change: a folder of another version is drawn again.
VERSION = 1

Job = tuple[Scene, int, str]


def garden_scene(seed: int, attribute: str, key: str, split: str, number: int) -> Scene:
    """The scene of one picture; it depends only on the arguments."""
    return random_scene(Random(f"garden8/{seed}/{attribute}/{key}/{split}/{number}"), STYLE_WEIGHTS, attribute, key)


def write_collection(
    root: Path | str,
    seed: int = 0,
    per_class: tuple[int, int, int] = (20, 8, 24),
    size: int = 96,
    workers: int | None = None,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> Path:
    """Draw Garden-8 in ``<root>/garden8`` unless it already exists, and return that folder.

    ``per_class`` is the number of pictures per class in train, val and test. ``workers`` is the number of processes
    (default: one per usable core), which does not affect the pixels. ``progress`` may wrap the finished chunks, e.g. in
    a progress bar.

    Pictures are drawn in a temporary folder beside the final one, which is renamed when complete; ``split.json`` is
    written last. Two processes may do this at once: the second one finds the first one's folder and discards its own.
    What is in the folder and was not drawn is never removed, see `place.put`.

    Raises:
        InputError: ``<root>/garden8`` is not ours, or was changed.
        OSError: the root is not writable.
    """
    folder = Path(root) / "garden8"
    pictures, entries = _plan(per_class)
    plan = Plan(
        {"name": "Garden-8", "version": VERSION, "seed": seed, "per_class": list(per_class), "size": size,
         "tasks": entries},
        [picture.path for picture in pictures],
    )  # fmt: skip
    if is_complete(folder, plan):
        return folder
    check_ours(folder)
    Path(root).mkdir(parents=True, exist_ok=True)
    sweep(Path(root))
    fresh = temporary(Path(root))
    try:
        for path in {str(Path(path).parent) for path in plan.pictures}:
            (fresh / path).mkdir(parents=True, exist_ok=True)
        jobs = [(garden_scene(seed, *picture[:-1]), size, str(fresh / picture.path)) for picture in pictures]
        _draw_all(jobs, workers, progress)
        write_record(fresh / SPLIT, plan.record(fresh))
        fresh.chmod(0o755)
        put(fresh, folder, plan)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


class Picture(NamedTuple):
    """What determines a picture's scene, and its path below the collection's folder."""

    attribute: str
    key: str
    split: str
    number: int  # in its split
    path: str


def _plan(per_class: tuple[int, int, int]) -> tuple[list[Picture], list[dict[str, Any]]]:
    """All pictures to draw and the tasks' entries in ``split.json``."""
    pictures: list[Picture] = []
    entries = []
    for task in TASKS:
        entry: dict = {"name": task.name, "classnames": list(task.classnames), "template": task.template, "metric": "A"}
        entry |= {split: [] for split in SPLITS}
        for index, (key, classname) in enumerate(task.classes):
            number = 0
            for split, count in zip(SPLITS, per_class, strict=True):
                for k in range(count):
                    path = f"images/{slug(task.name)}/{slug(classname)}/{number:03d}.jpg"
                    pictures.append(Picture(task.attribute, key, split, k, path))
                    entry[split].append([path, index])
                    number += 1
        entries.append(entry)
    return pictures, entries


def _draw_chunk(jobs: list[Job]) -> int:
    for scene, size, path in jobs:
        draw(scene, size).save(path, quality=92, subsampling=0)
    return len(jobs)


def _draw_all(jobs: list[Job], workers: int | None, progress: Callable[[Iterable], Iterable] | None) -> None:
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chunks = [jobs[k : k + 64] for k in range(0, len(jobs), 64)]
    wrap = progress if progress is not None else iter
    workers = min(workers, len(chunks))
    if workers <= 1:
        for chunk in wrap(chunks):
            _draw_chunk(chunk)
        return
    # where it exists, fork starts processes in milliseconds, and these only draw
    method = "fork" if hasattr(os, "fork") else "spawn"
    with ProcessPoolExecutor(workers, mp_context=get_context(method)) as pool:
        for _ in wrap(pool.map(_draw_chunk, chunks)):
            pass
