"""Optimizers by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn as nn
from torch.optim import Optimizer
from yacs.config import CfgNode

from .radam import RAdam

AVAI_OPTIMS = ["adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"]


def _staged_groups(model: Any, optim_cfg: CfgNode) -> list[dict]:
    """Return two parameter groups: children not in NEW_LAYERS, with a smaller learning rate, and those in it."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"OPTIM.STAGED_LR needs a model with named layers, but got a {type(model).__name__}")
    if isinstance(model, nn.DataParallel):
        model = model.module
    new_layers = optim_cfg.NEW_LAYERS
    new_layers = [new_layers] if isinstance(new_layers, str) else new_layers
    if not any(new_layers):
        warnings.warn("OPTIM.STAGED_LR has no effect: OPTIM.NEW_LAYERS is empty", stacklevel=3)
    base: list[nn.Parameter] = []
    new: list[nn.Parameter] = []
    for name, module in model.named_children():
        (new if name in new_layers else base).extend(module.parameters())
    return [{"params": base, "lr": optim_cfg.LR * optim_cfg.BASE_LR_MULT}, {"params": new}]


def build_optimizer(model: nn.Module | Iterable, optim_cfg: CfgNode, param_groups: Iterable | None = None) -> Optimizer:
    """Build the optimizer named ``optim_cfg.NAME``.

    Args:
        model: a module, or an iterable of parameters or parameter groups.
        optim_cfg: the ``OPTIM`` section of a configuration.
        param_groups: if given, optimized instead of ``model``.

    Raises:
        ValueError: the name is unknown.
        TypeError: STAGED_LR without a module.
    """
    cfg = optim_cfg
    if cfg.NAME not in AVAI_OPTIMS:
        raise ValueError(f"OPTIM.NAME must be one of {AVAI_OPTIMS}, but got {cfg.NAME}")
    if param_groups is not None:
        params = param_groups
        if cfg.STAGED_LR:
            warnings.warn("OPTIM.STAGED_LR is ignored: param_groups set their own learning rates", stacklevel=2)
    elif cfg.STAGED_LR:
        params = _staged_groups(model, cfg)
    else:
        params = model.parameters() if isinstance(model, nn.Module) else model

    common = {"lr": cfg.LR, "weight_decay": cfg.WEIGHT_DECAY}
    # A plugin's defaults may lack the keys of other optimizers, so only the chosen one's are read.
    if cfg.NAME == "sgd":
        return torch.optim.SGD(
            params, momentum=cfg.MOMENTUM, dampening=cfg.SGD_DAMPNING, nesterov=cfg.SGD_NESTEROV, **common
        )
    if cfg.NAME == "rmsprop":
        return torch.optim.RMSprop(params, momentum=cfg.MOMENTUM, alpha=cfg.RMSPROP_ALPHA, **common)
    betas = (cfg.ADAM_BETA1, cfg.ADAM_BETA2)
    if cfg.NAME == "radam":
        return RAdam(params, betas=betas, **common)
    if cfg.NAME == "adamw":
        return torch.optim.AdamW(params, betas=betas, **common)
    return torch.optim.Adam(params, betas=betas, amsgrad=cfg.NAME == "amsgrad", **common)
