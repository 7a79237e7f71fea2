"""A run's folder: its lock, its settings, the versions that it ran with."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from common.disk import sweep
from common.errors import FULL, InputError, of_system
from common.files import is_regular, parse_json, write_atomically
from common.paths import CHECKPOINTS, CONFIG, LOCK, LOG, REPOSITORY, RESULTS, TENSORBOARD, TESTED
from prompting.pixels import KEYS
from runs.status import RECORDS, locked, release
from trainers.engine.settings import known_keys, noted_settings, plain, value_of

CHANGES = 3  # in a message

# Settings that change where or how fast a run computes, not what it computes.
INCIDENTAL = {
    "OUTPUT_DIR",
    "RESUME",
    "VERBOSE",
    "USE_CUDA",
    "DATASET.ROOT",
    "DATALOADER.NUM_WORKERS",
    "TRAIN.PRINT_FREQ",
    "BANK.TRAIN",
    "BANK.TEST",
    "BANK.DIR",
    "BANK.LIMIT_GB",
    "WANDB.PROJECT",
    "TRAIN.CHECKPOINT_FREQ",
    "TRAIN.DETERMINISTIC",
    "MODEL.TEXT_MEMORY_GB",
    "INPUT.GIVEN",
    "MODEL.BACKBONE.IMAGES",
    "MODEL.FROM",  # it may have moved; MODEL.FROM_DIGEST says what it is
}


def _earlier(folder: Path) -> Mapping[str, Any]:
    """The settings that a run was begun with; empty if it was not."""
    begun = os.path.lexists(folder / RESULTS) or os.path.lexists(folder / CHECKPOINTS)
    return (noted_settings(folder) if begun else None) or {}


def check_same_pixels(cfg: CfgNode, folder: Path) -> None:
    """InputError if a run was begun with other pixels than those of ``cfg``, in which they follow the tower by now."""
    earlier = _earlier(folder)
    for key in (*(f"INPUT.{name}" for name in KEYS), "MODEL.BACKBONE.IMAGES"):
        now = plain(value_of(cfg, key))
        if earlier.get(key, now) != now:
            raise InputError(
                f"{folder} was begun with {key} {earlier[key] or 'float32'}, but the tower takes {now or 'float32'}; "
                "--redo starts it again, or choose another output folder."
            )


def check_same_settings(cfg: CfgNode, folder: Path) -> None:
    """InputError if a run folder was begun with other settings: its checkpoint and results belong to another run."""
    earlier = _earlier(folder)
    known = known_keys(cfg)
    given = str(value_of(cfg, "INPUT.GIVEN")).split("+") if "INPUT.GIVEN" in known else []
    for key in known:
        if key in INCIDENTAL or key not in earlier:
            continue
        pixels = key.removeprefix("INPUT.")
        if pixels in KEYS and pixels not in given and "INPUT.GIVEN" in earlier:  # earlier versions had only given ones
            if pixels in str(earlier["INPUT.GIVEN"]).split("+"):
                raise InputError(
                    f"{folder} was begun with {key} {earlier[key]}, and now it follows the tower; choose another "
                    "output folder, or remove that one."
                )
            continue
        now = plain(value_of(cfg, key))
        if earlier[key] != now and key == "DATASET.DECLARATION":
            raise InputError(
                f"{folder} was begun with another declaration of the collection: "
                f"{declaration_changes(earlier[key], now)}; choose another output folder, or remove that one."
            )
        if earlier[key] != now:
            raise InputError(
                f"{folder} was begun with {key} {earlier[key]}, and now it is {now}; choose another output folder, or "
                "remove that one."
            )


def declaration_changes(before: str, now: str) -> str:
    """What differs between two declarations of a collection (DATASET.DECLARATION, JSON), in a few words."""
    try:
        return _declaration_changes(before, now)
    except (ValueError, KeyError, TypeError, AttributeError):  # the record was edited
        return "its record cannot be read"


def _declaration_changes(before: str, now: str) -> str:
    old, new = (parse_json(text) if text else {"tasks": []} for text in (before, now))
    tasks = [{task["name"]: task for task in declaration["tasks"]} for declaration in (old, new)]
    found = [f"task '{name}' is gone" for name in tasks[0] if name not in tasks[1]]
    found += [f"task '{name}' is new" for name in tasks[1] if name not in tasks[0]]
    for name in tasks[0].keys() & tasks[1].keys():
        first, second = tasks[0][name], tasks[1][name]
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) == second.get(key):
                continue
            if key == "classnames":
                changed = sorted(k for k in {**first[key], **second[key]} if first[key].get(k) != second[key].get(k))
                found.append(f"task '{name}' names the class folder '{changed[0]}' differently")
            else:
                found.append(f"{key} of task '{name}' was '{first.get(key)}' and is '{second.get(key)}'")
    if not found and [*tasks[0]] != [*tasks[1]]:
        found = ["its tasks are in another order"]
    others = [key for key in ("folder", "config") if old.get(key) != new.get(key)]
    found += [f"{key} was '{old.get(key)}' and is '{new.get(key)}'" for key in others]
    more = f" and {len(found) - CHANGES} more changes" if len(found) > CHANGES else ""
    return ", ".join(found[:CHANGES]) + more


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a run computes with."""
    found = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "dassl", "clip-anytorch", "open_clip_torch"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_commit() -> str | None:
    """The repository's commit, followed by "+" if files differ from it; None outside a git checkout."""
    try:
        git = partial(subprocess.run, cwd=REPOSITORY, capture_output=True, text=True, timeout=10)
        head = git(["git", "rev-parse", "HEAD"])
        changed = git(["git", "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else None


def check_kinds(folder: Path) -> None:
    """InputError if something else is in the place of a run's files and folders: a named pipe would block a run."""
    for name in (*RECORDS, LOG, LOCK):
        path = folder / name
        if os.path.lexists(path) and not is_regular(path):
            raise InputError(f"{path} is not a regular file; remove it, or choose another output folder.")
    for name in (CHECKPOINTS, TENSORBOARD, TESTED):
        path = folder / name
        if os.path.lexists(path) and not path.is_dir():
            raise InputError(f"{path} is not a folder; remove it, or choose another output folder.")


@contextlib.contextmanager
def opened(folder: Path, cfg: CfgNode) -> Iterator[None]:
    """Create a run's folder with its config, for this process alone: Busy if another one uses it.

    What a killed process left half-written is removed, and so is the folder of a run that is refused before its first
    checkpoint.
    """
    new = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    check_kinds(folder)
    alone = False
    with contextlib.ExitStack() as held:
        try:
            with _writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                held.callback(release, locked(folder))
                alone = True
                sweep(folder, RECORDS)
                check_same_settings(cfg, folder)  # again: another process may have used it until now
                if not _earlier(folder):  # else it has the pixels of the tower, which is not loaded yet
                    write_atomically(folder / CONFIG, cfg.dump())
            yield
        except InputError:
            if alone and folder in new and not (folder / CHECKPOINTS).exists():
                shutil.rmtree(folder, ignore_errors=True)
            if folder in new:
                for path in new:
                    with contextlib.suppress(OSError):  # it is not empty, or another run has moved in
                        path.rmdir()
            raise


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise of_system(error, folder) from None
        raise InputError(
            f"Output folder {folder} cannot be written ({error.strerror or error}); choose another."
        ) from None
