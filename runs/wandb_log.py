"""Weights & Biases, if WANDB.PROJECT names a project: the values of TensorBoard, and a run's results."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from yacs.config import CfgNode

from common.errors import InputError
from common.text import one_line

NAME = re.compile(r"[^/\\#?%:\x00-\x1f\x7f]{1,128}")  # of a project


class WandbLog:
    """One run of a W&B project. A resumed run continues it, since its id is a hash of its folder."""

    def __init__(self, cfg: CfgNode, folder: Path, name: str):
        asked = f"WANDB.PROJECT is '{cfg.WANDB.PROJECT}', but"
        if not NAME.fullmatch(cfg.WANDB.PROJECT):
            raise InputError(f"{asked} a project's name has up to 128 characters, and none of / \\ # ? % :")
        try:
            import wandb
        except ModuleNotFoundError:
            raise InputError(f"{asked} wandb is not installed; run: pip install wandb") from None
        identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        settings = {"project": cfg.WANDB.PROJECT, "name": name, "id": identity, "resume": "allow", "dir": str(folder)}
        try:
            self._run = wandb.init(**settings, config=_plain(cfg))
        except Exception as error:  # of many types without a common base
            message = one_line(error) or type(error).__name__
            raise InputError(f"{asked} wandb does not start ({message}); log in, or set WANDB_MODE=offline.") from None

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        """A value at a step, as in TensorBoard. Training and tests count separately, so the step is a value too."""
        self._run.log({tag: float(value), **({"step": step} if step is not None else {})})

    def summary(self, results: dict) -> None:
        """Put a run's figures into its summary."""
        for task in results.get("tasks", []):
            self._run.summary[f"accuracy/{task['name']}"] = task["accuracy"]
        if "mean" in results:
            self._run.summary["accuracy/mean"] = results["mean"]

    def finish(self, exit_code: int) -> None:
        """Close it: finished with 0, otherwise failed."""
        self._run.finish(exit_code=exit_code)


@contextlib.contextmanager
def wandb_log(cfg: CfgNode, folder: Path, name: str) -> Iterator[WandbLog | None]:
    """The log of a run, if there is one; closed at the end, as failed after an error."""
    if not cfg.WANDB.PROJECT:
        yield None
        return
    log = WandbLog(cfg, folder, name)
    try:
        yield log
    except BaseException:
        with contextlib.suppress(Exception):  # the error that ended the run says more
            log.finish(1)
        raise
    log.finish(0)


def _plain(node: CfgNode) -> dict:
    return {key: _plain(value) if isinstance(value, CfgNode) else value for key, value in node.items()}
