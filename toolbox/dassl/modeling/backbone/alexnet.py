"""AlexNet from torchvision."""

from __future__ import annotations

from typing import Any

import torch
import torchvision

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .pretrained import imagenet_urls, init_pretrained_weights, without_classifier

model_urls = imagenet_urls("alexnet")


class AlexNet(Backbone):
    """torchvision's AlexNet up to its last hidden layer; its parameters keep their names."""

    def __init__(self) -> None:
        super().__init__()
        net = without_classifier(torchvision.models.AlexNet)
        self.features, self.avgpool, self.classifier = net.features, net.avgpool, net.classifier[:-1]
        self._out_features = 4096

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, H, W) -> (batch, 4096); images must have at least 63 x 63 pixels."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@BACKBONE_REGISTRY.register()
def alexnet(pretrained: bool = True, **kwargs: Any) -> AlexNet:
    """Build AlexNet."""
    model = AlexNet()
    if pretrained:
        init_pretrained_weights(model, model_urls["alexnet"])
    return model
