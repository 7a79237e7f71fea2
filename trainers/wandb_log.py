"""Weights & Biases, when asked for by WANDB.PROJECT and installed: what TensorBoard gets, and a run's results."""

from __future__ import annotations

import hashlib
from pathlib import Path

from yacs.config import CfgNode

from prompting.errors import InputError


class WandbLog:
    """One run of a W&B project; a resumed run goes on in the same one, since its id is made of its folder."""

    def __init__(self, cfg: CfgNode, folder: Path, name: str):
        try:
            import wandb
        except ModuleNotFoundError:
            raise InputError(
                f"WANDB.PROJECT is '{cfg.WANDB.PROJECT}', but wandb is not installed; run: pip install wandb"
            ) from None
        identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        settings = {"project": cfg.WANDB.PROJECT, "name": name, "id": identity, "resume": "allow", "dir": str(folder)}
        self._run = wandb.init(**settings, config=_plain(cfg))

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        """A value at a step, as TensorBoard gets it; tests and training count apart, so it is a value beside it."""
        self._run.log({tag: float(value), **({"step": step} if step is not None else {})})

    def finish(self, results: dict) -> None:
        """Put a run's figures into its summary, and close it."""
        for task in results.get("tasks", []):
            self._run.summary[f"accuracy/{task['name']}"] = task["accuracy"]
        if "mean" in results:
            self._run.summary["accuracy/mean"] = results["mean"]
        self._run.finish()


def _plain(node: CfgNode) -> dict:
    return {key: _plain(value) if isinstance(value, CfgNode) else value for key, value in node.items()}
