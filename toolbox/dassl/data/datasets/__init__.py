"""The data set registry, the base classes of data sets, and those of upstream Dassl."""

# build and base_dataset come first, because the other modules register there.
from .build import DATASET_REGISTRY, build_dataset  # isort: skip
from .base_dataset import DatasetBase, Datum  # isort: skip

from .da import CIFARSTL, Digit5, DomainNet, Office31, OfficeHome, VisDA17, miniDomainNet
from .dg import (
    CIFAR10C,
    CIFAR100C,
    PACS,
    VLCS,
    Camelyon17,
    DigitsDG,
    DigitSingle,
    FMoW,
    IWildCam,
    OfficeHomeDG,
)
from .ssl import CIFAR10, CIFAR100, STL10, SVHN

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "CIFAR100C",
    "CIFAR10C",
    "CIFARSTL",
    "Camelyon17",
    "DATASET_REGISTRY",
    "DatasetBase",
    "Datum",
    "Digit5",
    "DigitSingle",
    "DigitsDG",
    "DomainNet",
    "FMoW",
    "IWildCam",
    "Office31",
    "OfficeHome",
    "OfficeHomeDG",
    "PACS",
    "STL10",
    "SVHN",
    "VLCS",
    "VisDA17",
    "build_dataset",
    "miniDomainNet",
]
