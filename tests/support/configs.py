"""Configs for tests."""

from __future__ import annotations

from pathlib import Path

from dassl.config import get_cfg_default
from yacs.config import CfgNode

import trainers


def dataset_config(root: str | Path, name: str) -> CfgNode:
    """A config for two shots of the data set ``name`` in the data root ``root``."""
    cfg = get_cfg_default()
    trainers.extend_cfg(cfg)
    cfg.DATASET.ROOT, cfg.DATASET.NAME, cfg.SEED, cfg.DATASET.NUM_SHOTS = str(root), name, 1, 2
    cfg.INPUT.SIZE = (32, 32)
    return cfg
