"""The meta network: task feature in, the task's prompt context out (paper, section on the meta network)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SubNetwork(nn.Module):
    """One linear map from a text feature to the ``n_ctx`` context vectors of a prompt.

    The released code draws the matrix with standard deviation 0.02 and has no bias; ``bias=True`` is SoftCPT*, whose
    published count of parameters, 1024 * 8192 + 8192, includes one.
    """

    def __init__(self, feature_dim: int, n_ctx: int, ctx_dim: int, bias: bool = False, std: float = 0.02):
        super().__init__()
        self.n_ctx, self.ctx_dim = n_ctx, ctx_dim
        self.weight = nn.Parameter(torch.empty(feature_dim, n_ctx * ctx_dim).normal_(std=std))
        self.bias = nn.Parameter(torch.zeros(n_ctx * ctx_dim)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(tasks, feature_dim) -> (tasks, n_ctx, ctx_dim), in float32 whatever the features' dtype."""
        flat = features.to(self.weight.dtype) @ self.weight
        if self.bias is not None:
            flat = flat + self.bias
        return flat.unflatten(-1, (self.n_ctx, self.ctx_dim))
