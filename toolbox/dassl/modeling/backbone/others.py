"""Any torchvision or timm model as a backbone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torchvision

from .backbone import Backbone


class HeadlessNet(Backbone):
    """A model that outputs features of width ``out_features``."""

    def __init__(self, net: nn.Module, out_features: int) -> None:
        super().__init__()
        self.net = net
        self._out_features = out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, H, W) -> (batch, out_features)."""
        return self.net(x)


def torchvision_backbone(model: str, pretrained: bool = True, **kwargs: Any) -> HeadlessNet:
    """Build torchvision's classifier ``model`` without its last linear layer. ValueError if it does not exist."""
    try:
        net = torchvision.models.get_model(model, weights="DEFAULT" if pretrained else None)
    except ValueError as error:
        raise ValueError(f"torchvision has no model '{model}'; see torchvision.models.list_models()") from error
    linear = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"torchvision's {model} has no linear classifier to remove; choose a classification model")
    name, classifier = linear[-1]
    parent = net.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Identity())
    return HeadlessNet(net, classifier.in_features)


def timm_backbone(model: str, pretrained: bool = True, **kwargs: Any) -> HeadlessNet:
    """Build timm's model ``model`` without its classifier. ImportError if timm is not installed."""
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"The backbone timm:{model} needs timm; install it with: pip install timm") from error
    net = timm.create_model(model, pretrained=pretrained, num_classes=0)
    return HeadlessNet(net, net.num_features)
