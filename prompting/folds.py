"""Folds of a task's shots, for cross-validation."""

from __future__ import annotations

import torch
from torch import Tensor


def folds(y: Tensor, most: int) -> list[Tensor]:
    """Return (n,) masks of the images that each fold holds out, alike in their classes.

    The i-th image of a class is in fold i modulo the number of folds, which is ``most`` or the largest number of images
    that a class has. The only image of a class is never held out. Without a class of two images there are no folds.
    """
    counts = torch.bincount(y) if len(y) else torch.zeros(1, dtype=torch.long)
    count = min(most, int(counts.max()))
    if count < 2:
        return []
    place = torch.full_like(y, -1)
    for label in (counts > 1).nonzero().flatten().tolist():
        mine = y == label
        place[mine] = torch.arange(int(mine.sum()), device=y.device) % count
    return [place == fold for fold in range(count)]
