"""The three published AutoAugment policies (Cubuk et al., CVPR 2019), from torchvision."""

from __future__ import annotations

from torchvision.transforms import AutoAugment, AutoAugmentPolicy


class _Policy(AutoAugment):
    """Applies one random pair of operations per image; new corners are filled with ``fillcolor``."""

    policy_name: AutoAugmentPolicy

    def __init__(self, fillcolor: tuple[int, int, int] = (128, 128, 128)) -> None:
        super().__init__(self.policy_name, fill=list(fillcolor))


class ImageNetPolicy(_Policy):
    """The policy learned on ImageNet."""

    policy_name = AutoAugmentPolicy.IMAGENET


class CIFAR10Policy(_Policy):
    """The policy learned on CIFAR-10."""

    policy_name = AutoAugmentPolicy.CIFAR10


class SVHNPolicy(_Policy):
    """The policy learned on SVHN."""

    policy_name = AutoAugmentPolicy.SVHN
