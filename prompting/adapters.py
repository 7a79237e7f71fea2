"""What is added after a frozen image tower: CLIP-Adapter's network and Tip-Adapter's cache of shots, one for each task.

The equations are in trainers/clip_adapter.py and trainers/tip_adapter.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prompting.losses import unit


class Adapter(nn.Module):
    """(batch, feature_dim) x -> (batch, feature_dim) x', of unit norm."""

    def __init__(self, feature_dim: int, reduction: int, ratio: float):
        super().__init__()
        self.ratio = ratio
        self.down = nn.Linear(feature_dim, feature_dim // reduction, bias=False)
        self.up = nn.Linear(feature_dim // reduction, feature_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        adapted = F.relu(self.up(F.relu(self.down(x))))
        return unit(self.ratio * adapted + (1 - self.ratio) * x)


class Cache(nn.Module):
    """The shots of one task: keys (shots, d) of unit norm, their classes (shots,) within the task, alpha and beta."""

    keys: Tensor
    values: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self, shots: int, feature_dim: int, n_classes: int, alpha: float, beta: float, trained: bool):
        super().__init__()
        self.n_classes = n_classes
        keys = torch.zeros(shots, feature_dim)
        if trained:
            self.keys = nn.Parameter(keys)
        else:
            self.register_buffer("keys", keys)
        self.register_buffer("values", torch.zeros(shots, dtype=torch.long))
        self.register_buffer("alpha", torch.tensor(alpha))
        self.register_buffer("beta", torch.tensor(beta))

    def votes(self, affinity: Tensor, beta: Tensor | float) -> Tensor:
        """(batch, shots) x.k_i -> (batch, classes) sums over a class's shots of exp(-beta (1 - x.k_i))."""
        weights = (beta * (affinity - 1)).exp()
        return weights.new_zeros(len(weights), self.n_classes).index_add(1, self.values, weights)

    def forward(self, image_features: Tensor) -> Tensor:
        """(batch, d) features of unit norm -> (batch, classes) the cache's part of the task's logits."""
        return self.alpha * self.votes(image_features @ self.keys.t(), self.beta)
