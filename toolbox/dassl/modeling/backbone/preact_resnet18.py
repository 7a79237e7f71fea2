"""Pre-activation ResNet-18 for images of 32 x 32 pixels (He et al., ECCV 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from torch.nn import functional as F

from .backbone import Backbone
from .build import BACKBONE_REGISTRY


class _PreActivation(nn.Module):
    """Batch norm and ReLU before every convolution; a subclass sets the kernel sizes and the last ``expansion``."""

    expansion: int
    kernels: Sequence[int]

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.depth = len(self.kernels)
        width = in_planes
        strided = self.kernels.index(3)  # only the first 3 x 3 convolution has the stride
        for number, kernel in enumerate(self.kernels):
            last = number == self.depth - 1
            channels = planes * self.expansion if last else planes
            step = stride if number == strided else 1
            self.add_module(f"bn{number + 1}", nn.BatchNorm2d(width))
            conv = nn.Conv2d(width, channels, kernel, step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{number + 1}", conv)
            width = channels
        if stride != 1 or in_planes != width:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, width, 1, stride, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_planes, H, W) -> (batch, expansion * planes, H / stride, W / stride)."""
        out = self.bn1(x).relu()
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        for number in range(2, self.depth + 1):
            out = getattr(self, f"conv{number}")(getattr(self, f"bn{number}")(out).relu())
        return out + shortcut


class PreActBlock(_PreActivation):
    """Two 3 x 3 convolutions."""

    expansion = 1
    kernels = (3, 3)


class PreActBottleneck(_PreActivation):
    """1 x 1, 3 x 3 and 1 x 1 convolutions."""

    expansion = 4
    kernels = (1, 3, 1)


class PreActResNet(Backbone):
    """Four stages of ``num_blocks`` blocks each, of 64, 128, 256 and 512 channels."""

    def __init__(self, block: type[_PreActivation], num_blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.in_planes = 64
        for stage, blocks in enumerate(num_blocks, 1):
            layer = self._make_layer(block, 32 * 2**stage, blocks, stride=1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", layer)
        self._out_features = self.in_planes

    def _make_layer(self, block: type[_PreActivation], planes: int, num_blocks: int, stride: int) -> nn.Sequential:
        layers = []
        for number in range(num_blocks):
            layers.append(block(self.in_planes, planes, stride if number == 0 else 1))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 32, 32) -> (batch, out_features); larger images give a multiple of this width."""
        for layer in (self.conv1, self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return F.avg_pool2d(x, 4).flatten(1)


@BACKBONE_REGISTRY.register()
def preact_resnet18(**kwargs: Any) -> PreActResNet:
    """Build a ``PreActResNet`` of eight ``PreActBlock``."""
    return PreActResNet(PreActBlock, [2, 2, 2, 2])
