"""SVHN for semi-supervised learning."""

from __future__ import annotations

from ..build import DATASET_REGISTRY
from .cifar import CIFAR10


@DATASET_REGISTRY.register()
class SVHN(CIFAR10):
    """House numbers (Netzer et al., NIPS workshop 2011), read like CIFAR10."""

    dataset_dir = "svhn"
