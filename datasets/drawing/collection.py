"""Writes Garden-8 as files: pictures in folders and a ``split.json`` that lists them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

from .draw import draw
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


def slug(name: str) -> str:
    """The folder name for a class or task."""
    return name.replace(" ", "_")


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
    written last. So a folder without a matching ``split.json`` is unfinished and is replaced. Two processes may do
    this at once: the second one finds the first one's folder and discards its own. Raises OSError if the root is not
    writable.
    """
    folder = Path(root) / "garden8"
    wanted = {"version": VERSION, "seed": seed, "per_class": list(per_class), "size": size}
    if _complete(folder, wanted):
        return folder
    Path(root).mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".garden8-", dir=root))
    try:
        jobs, entries = _plan(seed, per_class, size)
        for path in {str(Path(job[2]).parent) for job in jobs}:
            (fresh / path).mkdir(parents=True, exist_ok=True)
        _draw_all([(scene, pixels, str(fresh / path)) for scene, pixels, path in jobs], workers, progress)
        split = {"name": "Garden-8", **wanted, "tasks": entries}
        partial = fresh / "split.json.partial"
        partial.write_text(json.dumps(split, indent=1), encoding="utf-8")
        os.replace(partial, fresh / "split.json")
        fresh.chmod(0o755)
        _install(fresh, folder, wanted)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _complete(folder: Path, wanted: dict) -> bool:
    """True if ``split.json`` says that exactly this collection was finished, and no class folder is missing."""
    try:
        split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if any(split.get(name) != value for name, value in wanted.items()):
        return False
    return all((folder / "images" / slug(t.name) / slug(c)).is_dir() for t in TASKS for c in t.classnames)


def _plan(seed: int, per_class: tuple[int, int, int], size: int) -> tuple[list[Job], list[dict]]:
    """All pictures to draw and the tasks' entries in ``split.json``; paths are relative to the collection's folder."""
    jobs: list[Job] = []
    entries = []
    for task in TASKS:
        entry: dict = {"name": task.name, "classnames": list(task.classnames), "template": task.template, "metric": "A"}
        entry |= {split: [] for split in SPLITS}
        for index, (key, classname) in enumerate(task.classes):
            number = 0
            for split, count in zip(SPLITS, per_class, strict=True):
                for k in range(count):
                    path = f"images/{slug(task.name)}/{slug(classname)}/{number:03d}.jpg"
                    jobs.append((garden_scene(seed, task.attribute, key, split, k), size, path))
                    entry[split].append([path, index])
                    number += 1
        entries.append(entry)
    return jobs, entries


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


def _install(fresh: Path, folder: Path, wanted: dict) -> None:
    """Move the finished folder into place, unless a finished one is there; replace an unfinished or different one."""
    for _ in range(3):
        if _complete(folder, wanted):
            return
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=".garden8-old-", dir=folder.parent))
            try:
                os.replace(folder, old / "garden8")
            except FileNotFoundError:
                pass  # another process moved it away first
            shutil.rmtree(old, ignore_errors=True)
        try:
            os.replace(fresh, folder)
            return
        except OSError:
            continue  # another process moved its folder there in between
    if not _complete(folder, wanted):
        raise OSError(f"could not put the finished collection at {folder}")
