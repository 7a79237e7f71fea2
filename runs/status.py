"""Is a run finished, and still valid?"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from common.errors import InputError
from common.paths import CHECKPOINTS, CONFIG, EVALUATION, INPUTS, RESULTS, TASKS, TENSORBOARD, TESTED, TRACEBACK
from runs import pictures
from runs.results import Run, RunError, read_run


class Planned(Protocol):
    """A run as it is planned: ``files`` are the configs that it reads, ``of`` is the run whose checkpoint it evaluates,
    and ``shots`` is 0 if it reads no training image."""

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
    def of(self) -> Planned | None: ...


class Status(NamedTuple):
    """``run``: the finished run, None if it has to run (again). ``settled``: its config files still have the content
    that it was made from; if not, its settings have to be compared before it counts."""

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
        settled = (planned.folder / INPUTS).read_text("utf-8") == hash_of_inputs(planned)
    except (OSError, ValueError):
        settled = False
    return Status(run, settled)


def forget(planned: Planned) -> None:
    """Remove what a run wrote into its folder, so that it starts again; its log stays."""
    for name in (RESULTS, EVALUATION, INPUTS, TRACEBACK, TASKS, CONFIG, pictures.FILE):
        (planned.folder / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, TESTED, TENSORBOARD):
        shutil.rmtree(planned.folder / name, ignore_errors=True)


def results_file(planned: Planned) -> Path:
    """The file whose mark makes the run finished."""
    return planned.folder / (RESULTS if planned.of is None else EVALUATION)


def hash_of_inputs(planned: Planned) -> str:
    """A hash of the config files that a run reads."""
    digest = hashlib.sha256()
    for path in planned.files:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def note_inputs(planned: Planned) -> None:
    """Record, in a finished run's folder, the config files that it was made from."""
    (planned.folder / INPUTS).write_text(hash_of_inputs(planned), "utf-8")
