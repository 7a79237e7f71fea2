"""The default configuration, and a function to trim it."""

from __future__ import annotations

from yacs.config import CfgNode

from .defaults import _C as cfg_default

__all__ = ["cfg_default", "clean_cfg", "get_cfg_default"]


def get_cfg_default() -> CfgNode:
    """Return a fresh copy of the default configuration."""
    return cfg_default.clone()


def clean_cfg(cfg: CfgNode, trainer: str) -> None:
    """Remove, in place, the sections of ``cfg.TRAINER`` that belong to trainers other than ``trainer``.

    This only makes ``print(cfg)`` shorter. ``TRAINER.NAME`` and the section named like the trainer, in capitals, stay.
    """
    for key in list(cfg.TRAINER):
        if key not in ("NAME", trainer.upper()):
            del cfg.TRAINER[key]
