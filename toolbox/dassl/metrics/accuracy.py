"""Top-k accuracy, and the confidence interval of a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def compute_accuracy(
    output: torch.Tensor | tuple[Any, ...] | list[Any], target: torch.Tensor, topk: Sequence[int] = (1,)
) -> list[torch.Tensor]:
    """Return the percentage of samples whose label is among the k highest logits: one tensor of shape (1,) per k.

    Args:
        output: logits (batch, classes), or a tuple that starts with them.
        target: labels (batch,), integer.
        topk: values of k, at most the number of classes.
    """
    logits: torch.Tensor = output[0] if isinstance(output, (tuple, list)) else output
    ranked = logits.topk(max(topk), dim=1).indices
    hits = ranked.eq(target.view(-1, 1))
    return [hits[:, :k].float().sum().view(1) * (100.0 / target.size(0)) for k in topk]


def compute_ci95(res: Sequence[float]) -> float:
    """Return half the width of the 95 % confidence interval of the mean: 1.96 * standard deviation / sqrt(n)."""
    return float(1.96 * np.std(res) / np.sqrt(len(res)))
