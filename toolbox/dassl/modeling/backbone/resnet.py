"""ResNets made of torchvision's blocks, optionally with MixStyle or EFDMix after their first stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn as nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv3x3  # noqa: F401 (for plugins' own blocks)

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .pretrained import imagenet_urls, init_pretrained_weights

LAYERS = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
    "resnet152": (Bottleneck, [3, 8, 36, 3]),
}
model_urls = imagenet_urls(*LAYERS)


class ResNet(Backbone):
    """A ResNet without a classifier; its parameters have torchvision's names.

    Args:
        block: torchvision's ``BasicBlock`` or ``Bottleneck``, or a custom class that takes (input channels, channels,
            stride, shortcut or None) and has an ``expansion``.
        layers: number of blocks in each of the four stages.
        ms_class: MixStyle or EFDMix, placed after ``ms_layers`` (of "layer1", "layer2", "layer3").
        ms_p, ms_a: its probability and the parameter of its Beta distribution.

    Raises:
        ValueError: ``ms_layers`` has another name.
    """

    def __init__(
        self,
        block: Callable[..., nn.Module],
        layers: Sequence[int],
        ms_class: Callable[..., nn.Module] | None = None,
        ms_layers: Sequence[str] = (),
        ms_p: float = 0.5,
        ms_a: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        for layer in ms_layers:
            if layer not in ("layer1", "layer2", "layer3"):
                raise ValueError(f"{layer} does not support style mixing; choose from layer1, layer2, layer3")
        self.inplanes = 64
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for stage, blocks in enumerate(layers, 1):
            stage_blocks = self._make_layer(block, 32 * 2**stage, blocks, stride=1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", stage_blocks)
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self._out_features = self.inplanes
        self.mixstyle = None
        self.ms_layers = list(ms_layers)
        if self.ms_layers:
            self.mixstyle = ms_class(p=ms_p, alpha=ms_a)
            print(f"Insert {type(self.mixstyle).__name__} after {self.ms_layers}")
        self._init_params()

    def _make_layer(self, block: Callable[..., nn.Module], planes: int, blocks: int, stride: int = 1) -> nn.Sequential:
        width = planes * block.expansion
        shortcut = None
        if stride != 1 or self.inplanes != width:
            shortcut = nn.Sequential(nn.Conv2d(self.inplanes, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        first = block(self.inplanes, planes, stride, shortcut)
        self.inplanes = width
        return nn.Sequential(first, *(block(width, planes) for _ in range(1, blocks)))

    def _init_params(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):  # in custom blocks
                nn.init.normal_(module.weight, 0, 0.01)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.ones_(module.weight)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def featuremaps(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, H, W) -> (batch, out_features, H / 32, W / 32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in ("layer1", "layer2", "layer3"):
            x = getattr(self, name)(x)
            if name in self.ms_layers:
                x = self.mixstyle(x)
        return self.layer4(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, H, W) -> (batch, out_features)."""
        return self.global_avgpool(self.featuremaps(x)).flatten(1)


def _builder(arch: str, mixer: str = "", depth: int = 0) -> Callable[..., ResNet]:
    """Return the function that builds ``arch``, with ``mixer`` ("ms" or "efdmix") after its first ``depth`` stages."""
    stages = [f"layer{stage}" for stage in range(1, depth + 1)]
    kind = {"": None, "ms": "MixStyle", "efdmix": "EFDMix"}[mixer]

    def build(pretrained: bool = True, **kwargs: Any) -> ResNet:
        from dassl.modeling import ops  # imported here because most backbones do not need ops

        model = ResNet(*LAYERS[arch], ms_class=getattr(ops, kind) if kind else None, ms_layers=stages)
        if pretrained:
            init_pretrained_weights(model, model_urls[arch])
        return model

    build.__name__ = build.__qualname__ = arch + (f"_{mixer}_l{'123'[:depth]}" if mixer else "")
    build.__doc__ = f"{arch}{f' with {kind} after {stages}' if kind else ''}."
    BACKBONE_REGISTRY.register(build)
    return build


resnet18 = _builder("resnet18")
resnet34 = _builder("resnet34")
resnet50 = _builder("resnet50")
resnet101 = _builder("resnet101")
resnet152 = _builder("resnet152")

resnet18_ms_l123 = _builder("resnet18", "ms", 3)
resnet18_ms_l12 = _builder("resnet18", "ms", 2)
resnet18_ms_l1 = _builder("resnet18", "ms", 1)
resnet50_ms_l123 = _builder("resnet50", "ms", 3)
resnet50_ms_l12 = _builder("resnet50", "ms", 2)
resnet50_ms_l1 = _builder("resnet50", "ms", 1)
resnet101_ms_l123 = _builder("resnet101", "ms", 3)
resnet101_ms_l12 = _builder("resnet101", "ms", 2)
resnet101_ms_l1 = _builder("resnet101", "ms", 1)

resnet18_efdmix_l123 = _builder("resnet18", "efdmix", 3)
resnet18_efdmix_l12 = _builder("resnet18", "efdmix", 2)
resnet18_efdmix_l1 = _builder("resnet18", "efdmix", 1)
resnet50_efdmix_l123 = _builder("resnet50", "efdmix", 3)
resnet50_efdmix_l12 = _builder("resnet50", "efdmix", 2)
resnet50_efdmix_l1 = _builder("resnet50", "efdmix", 1)
resnet101_efdmix_l123 = _builder("resnet101", "efdmix", 3)
resnet101_efdmix_l12 = _builder("resnet101", "efdmix", 2)
resnet101_efdmix_l1 = _builder("resnet101", "efdmix", 1)
