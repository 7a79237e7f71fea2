"""Which file in the folder of a run, or of a classifier, holds what was learned."""

from __future__ import annotations

from pathlib import Path

from common.errors import InputError
from common.files import is_regular, read_text
from common.paths import CHECKPOINTS, TRACES, WEIGHTS

POINTER = "checkpoint"  # names the newest file in the folder
BEST = "model-best.pth.tar"
POINTER_BYTES = 255  # the longest file name


def named_by_pointer(folder: Path) -> str:
    """Return the file that a folder's pointer names; "" if there is no pointer, or it does not name a file there."""
    try:
        name = read_text(folder / POINTER, POINTER_BYTES).strip()
    except (OSError, ValueError):
        return ""
    return name if name == Path(name).name else ""


def checkpoint_of(directory: Path | str, epoch: int | None = None) -> Path:
    """Return the path of an epoch's checkpoint in a run's folder; the file need not exist.

    Without an epoch, this is the run's final checkpoint: the best on validation images if there is one, else the
    newest. ``directory`` may also be a checkpoint itself.
    """
    if is_regular(directory):
        return Path(directory)
    folder = Path(directory) / CHECKPOINTS
    if epoch is not None:
        return folder / f"model.pth.tar-{epoch}"
    return folder / (BEST if is_regular(folder / BEST) else named_by_pointer(folder) or BEST)


def is_run(folder: Path) -> bool:
    """True for the folder of a run, finished or not."""
    return any(is_regular(folder / name) for name in TRACES)


def learned_file(folder: Path | str) -> Path:
    """Return the file of a run or a classifier that holds what was learned; InputError if there is none."""
    folder = Path(folder)
    run = is_run(folder)
    path = checkpoint_of(folder) if run else folder / WEIGHTS
    if not is_regular(path):
        what = "a checkpoint" if run else "the folder of a run, nor of a classifier"
        has = "has not" if run else "is neither"
        raise InputError(f"MODEL.FROM: {folder} {has} {what}; give a finished run's folder, or a classifier's.")
    return path
