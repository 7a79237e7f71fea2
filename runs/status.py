"""Is a run finished, and still valid? Is a process using its folder?"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from common.checkpoints import learned_file
from common.errors import Busy, InputError
from common.files import digest, is_regular, read_bytes, read_text, write_atomically
from common.notices import notice
from common.paths import (
    CHECKPOINTS,
    CLASSIFIER,
    CONFIG,
    EVALUATION,
    INPUTS,
    LOCK,
    LOG,
    RESULTS,
    TASKS,
    TENSORBOARD,
    TESTED,
    TRACEBACK,
    WEIGHTS,
)
from runs import pictures
from runs.results import DamagedRun, Run, RunError, read_run

if TYPE_CHECKING:
    from filelock import FileLock

PATIENCE = 6.0  # seconds: loaders of a process that was killed hold on to its lock until they notice
# What a run writes into its folder, and into the folders in it.
RECORDS = (RESULTS, EVALUATION, CLASSIFIER, WEIGHTS, INPUTS, TRACEBACK, TASKS, CONFIG, pictures.FILE)
WRITTEN = {
    CHECKPOINTS: re.compile(r"checkpoint|model.*\.pth\.tar.*|\.(checkpoint|model).*\.part"),
    TENSORBOARD: re.compile(r"events\.out\.tfevents\..*"),
}


class Planned(Protocol):
    """A run as it is planned: ``files`` are the configs that it reads, ``source`` is the run or classifier that its
    training starts from, ``of`` is the run whose checkpoint it evaluates, and ``shots`` is 0 if it reads no training
    image."""

    @property
    def folder(self) -> Path: ...
    @property
    def method(self) -> str: ...
    @property
    def shots(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def files(self) -> Sequence[Path]: ...
    @property
    def source(self) -> Path | None: ...
    @property
    def of(self) -> Planned | None: ...


class Status(NamedTuple):
    """``run``: the finished run, None if it has to run (again). ``settled``: its config files, and what it started
    from, still have the content that it was made from; if not, its settings have to be compared before it counts."""

    run: Run | None
    settled: bool


def status(planned: Planned) -> Status:
    """The state of a planned run, from its folder.

    Raises:
        InputError: the folder holds a run of something else.
    """
    file = results_file(planned)
    try:
        run = read_run(planned.folder, file.name)
    except DamagedRun as error:
        notice(str(error))
        return Status(None, False)
    except RunError:
        return Status(None, False)
    trains = planned.shots and planned.of is None  # an evaluation draws no shots
    if (run.method, run.seed) != (planned.method, planned.seed) or (trains and run.shots != planned.shots):
        raise InputError(
            f"{planned.folder} holds a run of {run.method} with {run.shots} shots and seed {run.seed}, "
            "which does not belong there; move it away."
        )
    if planned.of is not None:
        # An evaluation counts as long as the run that it evaluated ends with the same checkpoint and was not trained
        # again since, even with the same result. Older runs did not record their checkpoint.
        trained, source = status(planned.of).run, results_file(planned.of)
        if trained is None or (trained.checkpoint and trained.checkpoint != run.checkpoint):
            return Status(None, False)
        if source.stat().st_mtime_ns > file.stat().st_mtime_ns:
            return Status(None, False)
    try:
        # By content: another file of the same name may be older than the run.
        before, now = read_text(planned.folder / INPUTS).split(), hashes_of_inputs(planned)
        settled = bool(now) and before[: len(now)] == now  # a source may be removed after it was used
    except (OSError, ValueError):
        settled = False
    return Status(run, settled)


def forget(planned: Planned) -> None:
    """Remove what a run wrote into its folder, so that it starts again; its log stays, and files of others do.

    Raises:
        Busy: another process uses the folder, or that of an evaluation in it; nothing is removed.
    """
    with held(planned.folder):
        _forget(planned.folder)


def check_unused(planned: Planned) -> None:
    """Busy if another process uses a run's folder, or that of an evaluation in it."""
    with held(planned.folder):
        pass


def _forget(folder: Path) -> None:
    for name in RECORDS:
        _remove_file(folder / name)
    for name, written in WRITTEN.items():
        _remove(folder / name, written)
    for evaluation in _evaluations(folder):
        _forget(evaluation)
        _remove_file(evaluation / LOG)
        _remove_file(evaluation / LOCK)
        _remove_empty(evaluation)
    _remove_empty(folder / TESTED)


def _remove_file(path: Path) -> None:
    if is_regular(path):  # we write nothing else
        path.unlink(missing_ok=True)


def _remove(folder: Path, written: re.Pattern[str]) -> None:
    """Remove what we have written into a folder, and the folder if nothing else is in it."""
    if folder.is_symlink():
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            _remove_empty(path)
        elif written.fullmatch(path.name):
            _remove_file(path)
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # something else is in it, or there is none
        folder.rmdir()


def _evaluations(folder: Path) -> list[Path]:
    """The folders of evaluations in a run's folder; links lead to those of others."""
    tested = folder / TESTED
    found = tested.iterdir() if tested.is_dir() and not tested.is_symlink() else ()
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


# -- the lock of a folder --


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the locks of a run's folder and of the evaluations in it, as far as they have been used before.

    Raises:
        Busy: another process holds one of them.
    """
    with contextlib.ExitStack() as stack:
        for place in (folder, *_evaluations(folder)):
            if is_regular(place / LOCK):
                stack.callback(release, locked(place))
        yield


def locked(folder: Path) -> FileLock | None:
    """The lock of a run's folder, held; None if the file system has no locks. Busy if another process holds it.

    The operating system releases it when the process ends, however it ends. A plain lock file would be left over, so
    there is none on file systems without locks.
    """
    from filelock import FileLock, Timeout  # plans are also made before packages are installed

    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise Busy(f"Another process is using {folder}; wait for it to end, or choose another output folder.") from None
    except (NotImplementedError, OSError):
        return None  # if the folder cannot be written, the next write reports it
    return lock


def release(lock: FileLock | None) -> None:
    """Release a lock, if there is one."""
    if lock is not None:
        lock.release()


def results_file(planned: Planned) -> Path:
    """The file whose mark makes the run finished."""
    return planned.folder / (RESULTS if planned.of is None else EVALUATION)


def hashes_of_inputs(planned: Planned) -> list[str]:
    """A hash of the config files that a run reads, and one of what its training starts from, if that is there.

    Empty if a config file cannot be read.
    """
    found = hashlib.sha256()
    try:
        for path in planned.files:
            found.update(read_bytes(path) + b"\0")
    except OSError:
        return []
    learned = None
    if planned.source is not None:
        with contextlib.suppress(InputError, OSError):
            learned = digest(learned_file(planned.source))
    return [found.hexdigest()] + ([learned] if learned else [])


def note_inputs(planned: Planned, hashes: Sequence[str]) -> None:
    """Record, in a finished run's folder, the `hashes_of_inputs` that it was made from, as they were when it began."""
    if hashes:
        write_atomically(planned.folder / INPUTS, " ".join(hashes))
