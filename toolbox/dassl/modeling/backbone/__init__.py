"""Image backbones: upstream's by name, and any model of torchvision or timm."""

# ruff: noqa: F401 (the package exports these imports)
# build and backbone come first, because the other modules register there.
from .build import BACKBONE_REGISTRY, build_backbone  # isort: skip
from .backbone import Backbone  # isort: skip

from .alexnet import alexnet
from .cnn_digit5_m3sda import cnn_digit5_m3sda
from .cnn_digitsdg import cnn_digitsdg
from .cnn_digitsingle import cnn_digitsingle
from .efficientnet import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from .preact_resnet18 import preact_resnet18
from .resnet import (
    ResNet,
    resnet18,
    resnet18_efdmix_l1,
    resnet18_efdmix_l12,
    resnet18_efdmix_l123,
    resnet18_ms_l1,
    resnet18_ms_l12,
    resnet18_ms_l123,
    resnet34,
    resnet50,
    resnet50_efdmix_l1,
    resnet50_efdmix_l12,
    resnet50_efdmix_l123,
    resnet50_ms_l1,
    resnet50_ms_l12,
    resnet50_ms_l123,
    resnet101,
    resnet101_efdmix_l1,
    resnet101_efdmix_l12,
    resnet101_efdmix_l123,
    resnet101_ms_l1,
    resnet101_ms_l12,
    resnet101_ms_l123,
    resnet152,
)
from .resnet_dynamic import *  # noqa: F403 (only the names in its __all__)
from .vgg import vgg16
from .wide_resnet import wide_resnet_16_4, wide_resnet_28_2
