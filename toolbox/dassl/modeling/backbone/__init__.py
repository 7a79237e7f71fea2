"""Image backbones: ResNet, VGG, AlexNet and EfficientNet by torchvision, and any other of torchvision's or timm's."""

from dassl import not_carried

from .backbone import Backbone
from .build import BACKBONE_REGISTRY, build_backbone
from .others import alexnet, vgg16  # importing registers them
from .resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152

__all__ = [
    "BACKBONE_REGISTRY",
    "Backbone",
    "ResNet",
    "alexnet",
    "build_backbone",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "vgg16",
]


def __getattr__(name: str) -> object:
    # The variants that are registered in a loop: resnet18_ms_l12, efficientnet_b0 ...
    if name in BACKBONE_REGISTRY.registered_names():
        return BACKBONE_REGISTRY.get(name)
    not_carried.attribute(__name__, name, not_carried.BACKBONES)
