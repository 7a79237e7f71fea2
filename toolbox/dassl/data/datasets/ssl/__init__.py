"""Data sets of semi-supervised learning."""

from .cifar import CIFAR10, CIFAR100
from .stl10 import STL10
from .svhn import SVHN

__all__ = ["CIFAR10", "CIFAR100", "STL10", "SVHN"]
