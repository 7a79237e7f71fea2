"""Cross entropy with label smoothing."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def cross_entropy(
    input: torch.Tensor, target: torch.Tensor, label_smooth: float = 0, reduction: str = "mean"
) -> torch.Tensor:
    """Cross entropy of logits (batch, classes) and labels (batch,); ``reduction`` is "mean", "sum" or "none"."""
    return F.cross_entropy(input, target, label_smoothing=label_smooth, reduction=reduction)
