"""The attention that weights the kernels of ``Conv2dDynamic``."""

from __future__ import annotations

import torch
import torch.nn as nn

__all__ = ["Attention"]


class Attention(nn.Module):
    """Weights that sum to 1, from channel means and a bottleneck (Sun et al., IJCAI 2022: dynamic generalization).

    Args:
        in_channels: channels of the feature maps.
        out_features: number of weights.
        squeeze: width of the bottleneck, by default a sixteenth of ``in_channels``.
        bias: give the two linear layers a bias.

    Raises:
        ValueError: the width of the bottleneck is 0.
    """

    def __init__(self, in_channels: int, out_features: int, squeeze: int | None = None, bias: bool = True) -> None:
        super().__init__()
        self.squeeze = squeeze or in_channels // 16
        if self.squeeze <= 0:
            raise ValueError(
                f"Attention over {in_channels} channels has a bottleneck of width {self.squeeze}; "
                "pass a positive squeeze, or 16 channels or more"
            )
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Linear(in_channels, self.squeeze, bias=bias)
        self.fc2 = nn.Linear(self.squeeze, out_features, bias=bias)
        self.sf = nn.Softmax(dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, H, W) -> (batch, out_features)."""
        means = self.avg_pool(x).flatten(-3)
        return self.sf(self.fc2(self.fc1(means).relu()))
