"""Mixup."""

from __future__ import annotations

import torch


def mixup(
    x1: torch.Tensor, x2: torch.Tensor, y1: torch.Tensor, y2: torch.Tensor, beta: float, preserve_order: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weighted means of two image batches (b, c, h, w) and of their label distributions (b, classes).

    Each sample has its own weight from Beta(beta, beta); ``preserve_order`` makes it at least 1/2 for the first batch.
    """
    weight = torch.distributions.Beta(beta, beta).sample((x1.shape[0], 1, 1, 1))
    if preserve_order:
        weight = torch.max(weight, 1 - weight)
    weight = weight.to(x1.device)
    share = weight[:, :, 0, 0]
    return weight * x1 + (1 - weight) * x2, share * y1 + (1 - share) * y2
