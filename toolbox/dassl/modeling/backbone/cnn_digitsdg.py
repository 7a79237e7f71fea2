"""The network for Digits-DG (Zhou et al., AAAI 2020)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch.nn import functional as F

from dassl.utils import init_network_weights

from .backbone import Backbone, check_size
from .build import BACKBONE_REGISTRY


class Convolution(nn.Module):
    """A 3 x 3 convolution that keeps the size, followed by ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, c_in, H, W) -> (batch, c_out, H, W)."""
        return self.relu(self.conv(x))


class ConvNet(Backbone):
    """Four convolutions of ``c_hidden`` channels, each with 2 x 2 max pooling, for images of 32 x 32 pixels."""

    def __init__(self, c_hidden: int = 64) -> None:
        super().__init__()
        for number in range(1, 5):
            self.add_module(f"conv{number}", Convolution(3 if number == 1 else c_hidden, c_hidden))
        self._out_features = 4 * c_hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 32, 32) -> (batch, 4 * c_hidden)."""
        check_size(x, 32)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.max_pool2d(conv(x), 2)
        return x.flatten(1)


@BACKBONE_REGISTRY.register()
def cnn_digitsdg(**kwargs: Any) -> ConvNet:
    """Build a ``ConvNet`` of 64 channels."""
    model = ConvNet(c_hidden=64)
    init_network_weights(model, init_type="kaiming")
    return model
