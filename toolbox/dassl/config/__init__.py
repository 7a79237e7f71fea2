"""The default configuration and how to trim it."""

from __future__ import annotations

from yacs.config import CfgNode

from .defaults import _C as cfg_default

__all__ = ["cfg_default", "clean_cfg", "get_cfg_default"]


def get_cfg_default() -> CfgNode:
    """A fresh copy of the default configuration; changing it changes no other copy."""
    return cfg_default.clone()


def clean_cfg(cfg: CfgNode, trainer: str) -> None:
    """Drop, in place, the sections of ``cfg.TRAINER`` that belong to other trainers than ``trainer``.

    Only makes ``print(cfg)`` shorter. ``TRAINER.NAME`` stays, as does the section spelled like the trainer in capitals.
    """
    for key in list(cfg.TRAINER):
        if key not in ("NAME", trainer.upper()):
            del cfg.TRAINER[key]
