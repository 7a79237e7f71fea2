"""The network for generalization from a single digit data set (Volpi et al., NeurIPS 2018)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch.nn import functional as F

from dassl.utils import init_network_weights

from .backbone import Backbone, check_size
from .build import BACKBONE_REGISTRY


class CNN(Backbone):
    """Two convolutions and two linear layers, for images of 32 x 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 5)
        self.conv2 = nn.Conv2d(64, 128, 5)
        self.fc3 = nn.Linear(128 * 5 * 5, 1024)
        self.fc4 = nn.Linear(1024, 1024)
        self._out_features = 1024

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 32, 32) -> (batch, 1024)."""
        check_size(x, 32)
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(conv(x).relu(), 2)
        x = x.flatten(1)
        for fc in (self.fc3, self.fc4):
            x = fc(x).relu()
        return x


@BACKBONE_REGISTRY.register()
def cnn_digitsingle(**kwargs: Any) -> CNN:
    """Build a ``CNN``."""
    model = CNN()
    init_network_weights(model, init_type="kaiming")
    return model
