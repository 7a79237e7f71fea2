"""ResNets with dynamic 3 x 3 convolutions (Sun et al., IJCAI 2022), optionally with MixStyle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn as nn
from torchvision.models.resnet import conv1x1

from dassl.modeling.ops import Conv2dDynamic, MixStyle

from .backbone import Backbone  # noqa: F401
from .build import BACKBONE_REGISTRY
from .pretrained import init_pretrained_weights
from .resnet import BasicBlock, Bottleneck, ResNet, conv3x3  # noqa: F401 (for plugins)

__all__ = [
    "resnet18_dynamic",
    "resnet18_dynamic_ms_l1",
    "resnet18_dynamic_ms_l12",
    "resnet18_dynamic_ms_l123",
    "resnet50_dynamic",
    "resnet50_dynamic_ms_l1",
    "resnet50_dynamic_ms_l12",
    "resnet50_dynamic_ms_l123",
    "resnet101_dynamic",
    "resnet101_dynamic_ms_l1",
    "resnet101_dynamic_ms_l12",
    "resnet101_dynamic_ms_l123",
]

_FOLDER = "https://csip.fzu.edu.cn/files/models"
model_urls = {
    "resnet18_dynamic": f"{_FOLDER}/resnet18_dynamic-074db766.pth",
    "resnet50_dynamic": f"{_FOLDER}/resnet50_dynamic-2c3b0201.pth",
    "resnet101_dynamic": f"{_FOLDER}/resnet101_dynamic-c5f15780.pth",
}


def conv3x3_dynamic(
    in_planes: int, out_planes: int, stride: int = 1, attention_in_channels: int | None = None
) -> Conv2dDynamic:
    """Build a dynamic 3 x 3 convolution with padding 1."""
    return Conv2dDynamic(
        in_planes, out_planes, 3, stride, padding=1, bias=False, attention_in_channels=attention_in_channels
    )


class BasicBlockDynamic(nn.Module):
    """Two dynamic 3 x 3 convolutions; the attention of both uses the block's input."""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = conv3x3_dynamic(inplanes, planes, stride, attention_in_channels=inplanes)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3_dynamic(planes, planes, attention_in_channels=inplanes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inplanes, H, W) -> (batch, planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out, attention_x=x)) + shortcut)


class BottleneckDynamic(nn.Module):
    """A bottleneck whose 3 x 3 convolution is dynamic; its attention uses the block's input."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = conv1x1(inplanes, planes)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3_dynamic(planes, planes, stride, attention_in_channels=inplanes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv1x1(planes, planes * self.expansion)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inplanes, H, W) -> (batch, 4 planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out, attention_x=x)))
        return self.relu(self.bn3(self.conv3(out)) + shortcut)


class DynamicResNet(ResNet):
    """A ``ResNet`` that keeps the default initialisation of the attentions' linear layers."""

    def _init_params(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


LAYERS = {
    "resnet18_dynamic": (BasicBlockDynamic, [2, 2, 2, 2]),
    "resnet50_dynamic": (BottleneckDynamic, [3, 4, 6, 3]),
    "resnet101_dynamic": (BottleneckDynamic, [3, 4, 23, 3]),
}


def _builder(arch: str, depth: int = 0) -> Callable[..., DynamicResNet]:
    """Return the function that builds ``arch``, with MixStyle after its first ``depth`` stages."""
    stages = [f"layer{stage}" for stage in range(1, depth + 1)]

    def build(pretrained: bool = True, **kwargs: Any) -> DynamicResNet:
        model = DynamicResNet(*LAYERS[arch], ms_class=MixStyle if stages else None, ms_layers=stages)
        if pretrained:
            init_pretrained_weights(model, model_urls[arch])
        return model

    build.__name__ = build.__qualname__ = arch + (f"_ms_l{'123'[:depth]}" if stages else "")
    build.__doc__ = f"{arch}{f' with MixStyle after {stages}' if stages else ''}."
    BACKBONE_REGISTRY.register(build)
    return build


resnet18_dynamic = _builder("resnet18_dynamic")
resnet18_dynamic_ms_l1 = _builder("resnet18_dynamic", 1)
resnet18_dynamic_ms_l12 = _builder("resnet18_dynamic", 2)
resnet18_dynamic_ms_l123 = _builder("resnet18_dynamic", 3)
resnet50_dynamic = _builder("resnet50_dynamic")
resnet50_dynamic_ms_l1 = _builder("resnet50_dynamic", 1)
resnet50_dynamic_ms_l12 = _builder("resnet50_dynamic", 2)
resnet50_dynamic_ms_l123 = _builder("resnet50_dynamic", 3)
resnet101_dynamic = _builder("resnet101_dynamic")
resnet101_dynamic_ms_l1 = _builder("resnet101_dynamic", 1)
resnet101_dynamic_ms_l12 = _builder("resnet101_dynamic", 2)
resnet101_dynamic_ms_l123 = _builder("resnet101_dynamic", 3)
