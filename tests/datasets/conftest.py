"""What tests of data sets share."""

from __future__ import annotations


def dataset_config(root, name):
    """A config for two shots of a data set."""
    from dassl.config import get_cfg_default

    import train

    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    cfg.DATASET.ROOT, cfg.DATASET.NAME, cfg.SEED, cfg.DATASET.NUM_SHOTS = str(root), name, 1, 2
    cfg.INPUT.SIZE = (32, 32)
    return cfg
