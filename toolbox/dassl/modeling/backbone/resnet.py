"""ResNets by torchvision, on demand with MixStyle or EFDMix after their first stages."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn as nn
import torchvision

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

# Parameter names are torchvision's, as upstream's are; its ImageNet weights are this version.
WEIGHTS = "IMAGENET1K_V1"


def _without_classifier(arch: str) -> nn.Module:
    # A classifier of no classes draws no random numbers: a seed initialises the backbone as upstream's does.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        return getattr(torchvision.models, arch)(num_classes=0)


class ResNet(Backbone):
    """A torchvision ResNet without its classifier.

    Args:
        arch: "resnet18" .. "resnet152".
        pretrained: with ImageNet weights (downloaded once).
        ms_class: MixStyle or EFDMix, placed after ``ms_layers`` (of "layer1", "layer2", "layer3").
        ms_p, ms_a: its probability and the parameter of its Beta distribution.
    """

    def __init__(
        self,
        arch: str,
        pretrained: bool = False,
        ms_class: Callable[..., nn.Module] | None = None,
        ms_layers: Sequence[str] = (),
        ms_p: float = 0.5,
        ms_a: float = 0.1,
    ) -> None:
        super().__init__()
        for layer in ms_layers:
            if layer not in ("layer1", "layer2", "layer3"):
                raise ValueError(f"{layer} is no place for style mixing; choose of layer1, layer2, layer3")
        for name, module in _without_classifier(arch).named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, module)
        if pretrained:
            weights = torchvision.models.get_model_weights(arch)[WEIGHTS].get_state_dict(progress=True)
            self.load_state_dict({name: w for name, w in weights.items() if not name.startswith("fc.")})
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self._out_features = self.layer4[-1].bn2.num_features * self.layer4[-1].expansion
        self.mixstyle = None
        self.ms_layers = tuple(ms_layers)
        if self.ms_layers:
            self.mixstyle = ms_class(p=ms_p, alpha=ms_a)
            print(f"Insert {type(self.mixstyle).__name__} after {list(self.ms_layers)}")

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


def _builder(name: str, arch: str, mixer: str = "", ms_layers: Sequence[str] = ()) -> Callable[..., ResNet]:
    def build(pretrained: bool = True, **kwargs: Any) -> ResNet:
        from dassl.modeling import ops  # here, because ops need nothing of backbones and most backbones nothing of ops

        return ResNet(arch, pretrained, getattr(ops, mixer) if mixer else None, ms_layers)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{arch}{f' with {mixer} after {list(ms_layers)}' if mixer else ''}."
    BACKBONE_REGISTRY.register(build)
    return build


resnet18 = _builder("resnet18", "resnet18")
resnet34 = _builder("resnet34", "resnet34")
resnet50 = _builder("resnet50", "resnet50")
resnet101 = _builder("resnet101", "resnet101")
resnet152 = _builder("resnet152", "resnet152")

for _arch in ("resnet18", "resnet50", "resnet101"):
    for _short, _mixer in (("ms", "MixStyle"), ("efdmix", "EFDMix")):
        for _digits in ("1", "12", "123"):
            _builder(f"{_arch}_{_short}_l{_digits}", _arch, _mixer, [f"layer{digit}" for digit in _digits])
