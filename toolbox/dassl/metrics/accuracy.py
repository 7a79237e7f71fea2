"""Top-k accuracy, and the confidence interval of a mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def compute_accuracy(
    output: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor, topk: Sequence[int] = (1,)
) -> list[torch.Tensor]:
    """Percentages of samples whose label is among the k highest logits, one tensor of shape (1,) for each k.

    Args:
        output: logits (batch, classes), or a tuple that starts with them.
        target: labels (batch,), integer.
        topk: the values of k, none above the number of classes.
    """
    if isinstance(output, (tuple, list)):
        output = output[0]
    ranked = output.topk(max(topk), dim=1).indices
    hits = ranked.eq(target.view(-1, 1))
    return [hits[:, :k].float().sum().view(1) * (100.0 / target.size(0)) for k in topk]


def compute_ci95(res: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean of ``res``: 1.96 * standard deviation / sqrt(n)."""
    return float(1.96 * np.std(res) / np.sqrt(len(res)))
