"""VGG from torchvision."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torchvision
from torchvision.models.vgg import cfgs, make_layers

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .pretrained import imagenet_urls, init_pretrained_weights, without_classifier

model_urls = imagenet_urls("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")


class VGG(Backbone):
    """torchvision's VGG up to its last hidden layer; its parameters keep their names.

    Args:
        features: the convolutional layers, such as ``make_layers(cfgs["D"])`` for VGG-16.
        init_weights: draw random weights.
    """

    def __init__(self, features: nn.Module, init_weights: bool = True) -> None:
        super().__init__()
        net = without_classifier(torchvision.models.VGG, features, init_weights=init_weights)
        self.features, self.avgpool, self.classifier = net.features, net.avgpool, net.classifier[:-1]
        self._out_features = 4096

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, H, W) -> (batch, 4096); images must have at least 32 x 32 pixels."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@BACKBONE_REGISTRY.register()
def vgg16(pretrained: bool = True, **kwargs: Any) -> VGG:
    """Build VGG-16 without batch norm."""
    model = VGG(make_layers(cfgs["D"]), init_weights=not pretrained)
    if pretrained:
        init_pretrained_weights(model, model_urls["vgg16"])
    return model
