"""Wide ResNets for images of 32 x 32 pixels (Zagoruyko and Komodakis, BMVC 2016), with leaky ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn as nn
from torch.nn import functional as F

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

_SLOPE = 0.01


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, each after batch norm and leaky ReLU, with dropout (``dropRate``) between them.

    If the width changes, the shortcut starts after the first activation and has a 1 x 1 convolution.
    """

    def __init__(self, in_planes: int, out_planes: int, stride: int, dropRate: float = 0.0) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.relu1 = nn.LeakyReLU(_SLOPE, inplace=True)
        self.conv1 = nn.Conv2d(in_planes, out_planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_planes)
        self.relu2 = nn.LeakyReLU(_SLOPE, inplace=True)
        self.conv2 = nn.Conv2d(out_planes, out_planes, 3, padding=1, bias=False)
        self.droprate = dropRate
        self.equalInOut = in_planes == out_planes
        self.convShortcut = None if self.equalInOut else nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_planes, H, W) -> (batch, out_planes, H / stride, W / stride)."""
        active = self.relu1(self.bn1(x))
        out = self.relu2(self.bn2(self.conv1(active)))
        if self.droprate > 0:
            out = F.dropout(out, p=self.droprate, training=self.training)
        return (x if self.equalInOut else self.convShortcut(active)) + self.conv2(out)


class NetworkBlock(nn.Module):
    """``nb_layers`` blocks; the first changes width and size."""

    def __init__(
        self,
        nb_layers: int,
        in_planes: int,
        out_planes: int,
        block: Callable[..., nn.Module],
        stride: int,
        dropRate: float = 0.0,
    ) -> None:
        super().__init__()
        first = block(in_planes, out_planes, stride, dropRate)
        rest = (block(out_planes, out_planes, 1, dropRate) for _ in range(1, nb_layers))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_planes, H, W) -> (batch, out_planes, H / stride, W / stride)."""
        return self.layer(x)


class WideResNet(Backbone):
    """Three stages of 16, 32 and 64 times ``widen_factor`` channels.

    Args:
        depth: 6 n + 4, such as 16 or 28; ValueError otherwise.
        dropRate: dropout inside the blocks.
    """

    def __init__(self, depth: int, widen_factor: int, dropRate: float = 0.0) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f"A wide ResNet has 6 n + 4 layers (10, 16, 22, 28 ...), not {depth}")
        widths = [16, *(factor * widen_factor for factor in (16, 32, 64))]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        for stage in (1, 2, 3):
            stride = 1 if stage == 1 else 2
            block = NetworkBlock(blocks, widths[stage - 1], widths[stage], BasicBlock, stride, dropRate)
            self.add_module(f"block{stage}", block)
        self.bn1 = nn.BatchNorm2d(widths[-1])
        self.relu = nn.LeakyReLU(_SLOPE, inplace=True)
        self._out_features = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, H, W) -> (batch, out_features)."""
        for layer in (self.conv1, self.block1, self.block2, self.block3, self.bn1, self.relu):
            x = layer(x)
        return x.mean((2, 3))


@BACKBONE_REGISTRY.register()
def wide_resnet_28_2(**kwargs: Any) -> WideResNet:
    """Build the network with 28 layers, twice as wide, common in semi-supervised learning."""
    return WideResNet(28, 2)


@BACKBONE_REGISTRY.register()
def wide_resnet_16_4(**kwargs: Any) -> WideResNet:
    """Build the network with 16 layers, four times as wide."""
    return WideResNet(16, 4)
