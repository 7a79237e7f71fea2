"""The data set that a configuration names."""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from dassl import not_carried
from dassl.utils import Registry, check_availability

DATASET_REGISTRY = Registry("DATASET")


def build_dataset(cfg: CfgNode) -> Any:
    """An instance of ``cfg.DATASET.NAME``. ValueError with the nearest name when it is not registered."""
    name, known = cfg.DATASET.NAME, DATASET_REGISTRY.registered_names()
    if name not in known:
        not_carried.check(name, not_carried.DATASETS, "data set")
    check_availability(name, known)
    if cfg.VERBOSE:
        print(f"Loading dataset: {name}")
    return DATASET_REGISTRY.get(name)(cfg)
