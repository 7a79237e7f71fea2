"""The network for Digit-5 (Peng et al., ICCV 2019: M3SDA)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch.nn import functional as F

from .backbone import Backbone, check_size
from .build import BACKBONE_REGISTRY


class FeatureExtractor(Backbone):
    """Three convolutions and two linear layers, each with batch norm, for images of 32 x 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 64, 64, 128)
        for number in (1, 2, 3):
            self.add_module(f"conv{number}", nn.Conv2d(channels[number - 1], channels[number], 5, padding=2))
            self.add_module(f"bn{number}", nn.BatchNorm2d(channels[number]))
        self.fc1 = nn.Linear(128 * 8 * 8, 3072)
        self.bn1_fc = nn.BatchNorm1d(3072)
        self.fc2 = nn.Linear(3072, 2048)
        self.bn2_fc = nn.BatchNorm1d(2048)
        self._out_features = 2048

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 32, 32) -> (batch, 2048)."""
        check_size(x, 32)
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2)):
            x = F.max_pool2d(norm(conv(x)).relu(), 3, stride=2, padding=1)
        x = self.bn3(self.conv3(x)).relu().flatten(1)
        x = self.bn1_fc(self.fc1(x)).relu()
        x = F.dropout(x, training=self.training)
        return self.bn2_fc(self.fc2(x)).relu()


@BACKBONE_REGISTRY.register()
def cnn_digit5_m3sda(**kwargs: Any) -> FeatureExtractor:
    """Build a ``FeatureExtractor``."""
    return FeatureExtractor()
