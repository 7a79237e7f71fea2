"""EfficientNets from torchvision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .build import BACKBONE_REGISTRY
from .others import HeadlessNet, torchvision_backbone


def _builder(name: str) -> Callable[..., HeadlessNet]:
    def build(pretrained: bool = True, **kwargs: Any) -> HeadlessNet:
        return torchvision_backbone(name, pretrained)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"torchvision's {name}."
    BACKBONE_REGISTRY.register(build)
    return build


efficientnet_b0 = _builder("efficientnet_b0")
efficientnet_b1 = _builder("efficientnet_b1")
efficientnet_b2 = _builder("efficientnet_b2")
efficientnet_b3 = _builder("efficientnet_b3")
efficientnet_b4 = _builder("efficientnet_b4")
efficientnet_b5 = _builder("efficientnet_b5")
efficientnet_b6 = _builder("efficientnet_b6")
efficientnet_b7 = _builder("efficientnet_b7")
