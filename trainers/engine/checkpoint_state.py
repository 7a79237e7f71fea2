"""Checks of a checkpoint that is resumed: everything that training goes on from must be there, and make sense.

A changed byte is noticed by the toolbox, which compares the checksums in the file. These checks notice what is wrong in
a file that is intact: an epoch that the run does not have, a missing optimizer or schedule, NaN, momentum of another
shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from dassl.utils import load_checkpoint
from torch import Tensor
from torch.optim import Optimizer

from common.errors import InputError
from prompting.finite import not_finite


def check_finite(state: Iterable[tuple[str, Any]], where: str, remedy: str) -> None:
    """Raise InputError for a tensor of a learner's state that is NaN or infinite."""
    bad = not_finite((name, value) for name, value in state if isinstance(value, Tensor))
    if bad is not None:
        raise InputError(f"{where} is not finite: {bad} holds NaN or infinity; {remedy}.")


def check_epoch(epoch: Any, most: int, where: str, remedy: str) -> None:
    """Raise InputError for a checkpoint whose epoch is not one of a run with ``most`` epochs."""
    if type(epoch) is not int or not 0 < epoch <= most:
        raise InputError(f"{where} is of epoch {epoch!s:.40}, and the run has {most}; {remedy}.")


def check_training_state(optimizer: Optimizer, sched: Any, position: int, where: str, remedy: str) -> None:
    """Raise InputError for an optimizer or a schedule that was loaded and cannot be those of a run.

    ``position`` is where the schedule must be, see `position_of`.
    """
    problem = _problem_of(optimizer)
    if problem is None and position_of(sched) != position:
        problem = f"its learning-rate schedule is at step {position_of(sched)}, not {position}"
    if problem is not None:
        raise InputError(f"{where} cannot be resumed: {problem}; {remedy}.")


def _problem_of(optimizer: Optimizer) -> str | None:
    """Return what is wrong with an optimizer's state; None if nothing is."""
    for group in optimizer.param_groups:
        for name, value in group.items():
            if name != "params" and not _sound(value):
                return f"its optimizer has {name} {value!s:.40}"
    keeps_state = any(group.get("momentum", 1) for group in optimizer.param_groups)  # all but plain SGD
    if keeps_state and not optimizer.state:
        return "it has no optimizer state"
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            fits = value.shape in (parameter.shape, torch.Size(())) if isinstance(value, Tensor) else _sound(value)
            if not fits or (isinstance(value, Tensor) and not_finite([(name, value)])):
                return f"its optimizer's {name} is not finite, or of another shape than its parameter"
    return None


def _sound(value: Any) -> bool:
    """True for a setting that an optimizer can have: a finite number, or a few of them."""
    if isinstance(value, (list, tuple)):
        return all(map(_sound, value))
    if isinstance(value, Tensor):
        return not value.dim() and not_finite([("", value)]) is None
    return value is None or (isinstance(value, (bool, int, float)) and math.isfinite(value))


def _parts(sched: Any) -> Iterator[Any]:
    """A schedule, and the one that follows it if it is a warm-up."""
    while sched is not None:
        yield sched
        sched = getattr(sched, "successor", None)


def position_of(sched: Any) -> int:
    """Return the steps of a schedule so far, and more if it starts as if it had run during the warm-up; -1 if what it
    was loaded from has no number there."""
    steps = [part.last_epoch for part in _parts(sched)]
    return sum(steps) if all(type(step) is int and step >= 0 for step in steps) else -1


def check_best(path: Path, remedy: str) -> None:
    """Raise InputError unless a run's best checkpoint records its result on validation images, in percent."""
    saved = load_checkpoint(str(path))
    result = saved.get("val_result") if isinstance(saved, dict) else None
    if not isinstance(result, (int, float)) or not 0 <= result <= 100:
        raise InputError(f"Checkpoint {path} records the validation result {result!s:.40}, not a percentage; {remedy}.")
    check_finite(saved["state_dict"].items(), f"Checkpoint {path}", remedy)
