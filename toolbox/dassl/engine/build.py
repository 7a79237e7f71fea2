"""Trainers by name."""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from dassl import not_included
from dassl.utils import Registry, check_availability

TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg: CfgNode) -> Any:
    """Build ``cfg.TRAINER.NAME``. ValueError with the nearest name if it is not registered."""
    name, known = cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names()
    if name not in known:
        not_included.check_trainer(name)
    check_availability(name, known)
    if cfg.VERBOSE:
        print(f"Loading trainer: {name}")
    return TRAINER_REGISTRY.get(name)(cfg)
