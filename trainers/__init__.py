"""Dassl trainers of this project. Importing the package registers them all."""

from yacs.config import CfgNode

from trainers import (
    clip_lora,
    cocoop,
    coop,
    kgcoop,
    linear_probe,
    maple,
    mvlpt,
    plot,
    prograd,
    promptsrc,
    protonet,
    softcpt,
    tip_adapter,
    zsclip,
)
from trainers.engine import base

METHODS = (
    softcpt,
    coop,
    zsclip,
    cocoop,
    kgcoop,
    linear_probe,
    plot,
    prograd,
    protonet,
    tip_adapter,
    clip_lora,
    mvlpt,
    maple,
    promptsrc,
)


def extend_cfg(cfg: CfgNode) -> None:
    """Add the config keys of every method, and those that all of them read, to a Dassl config."""
    base.extend_cfg(cfg)
    for method in METHODS:
        method.extend_cfg(cfg)
