"""Functions for semi-supervised and adaptation trainers."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
from torch.nn import functional as F


def sharpen_prob(p: torch.Tensor, temperature: float = 2) -> torch.Tensor:
    """Raise probabilities (batch, classes) to the power ``temperature`` and normalise them again."""
    p = p.pow(temperature)
    return p / p.sum(1, keepdim=True)


def reverse_index(data: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reverse the order of both."""
    return data.flip(0), label.flip(0)


def shuffle_index(data: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shuffle both in the same random order."""
    order = torch.randperm(data.shape[0])
    return data[order], label[order]


def create_onehot(label: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return float one-hot rows (batch, num_classes) for labels (batch,)."""
    return F.one_hot(label.long(), num_classes).float()


def _progress(current: float, rampup_length: float) -> float:
    if rampup_length <= 0:
        raise ValueError(f"rampup_length must be positive, but is {rampup_length}")
    return min(max(current / rampup_length, 0.0), 1.0)


def sigmoid_rampup(current: float, rampup_length: float) -> float:
    """Return exp(-5 (1 - t)^2), where t goes from 0 to 1 in ``rampup_length`` steps."""
    return math.exp(-5.0 * (1.0 - _progress(current, rampup_length)) ** 2)


def linear_rampup(current: float, rampup_length: float) -> float:
    """Rise from 0 to 1 in ``rampup_length`` steps."""
    return _progress(current, rampup_length)


def ema_model_update(model: nn.Module, ema_model: nn.Module, alpha: float) -> None:
    """Set each parameter of ``ema_model`` to alpha * itself + (1 - alpha) * the parameter of ``model``."""
    with torch.no_grad():
        for average, param in zip(ema_model.parameters(), model.parameters(), strict=True):
            average.mul_(alpha).add_(param, alpha=1 - alpha)
