"""Transforms by name, applied in a fixed order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    GaussianBlur,
    Normalize,
    RandomApply,
    RandomCrop,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToTensor,
)
from torchvision.transforms.functional import InterpolationMode
from yacs.config import CfgNode

from dassl.utils.tools import get_most_similar_str_to_a_from_b

from .autoaugment import CIFAR10Policy, ImageNetPolicy, SVHNPolicy
from .randaugment import RandAugment, RandAugment2, RandAugmentFixMatch

AVAI_CHOICES = [
    "random_flip",
    "random_resized_crop",
    "normalize",
    "instance_norm",
    "random_crop",
    "random_translation",
    "center_crop",  # accepted, although every test transform crops the centre anyway
    "cutout",
    "imagenet_policy",
    "cifar10_policy",
    "svhn_policy",
    "randaugment",
    "randaugment_fixmatch",
    "randaugment2",
    "gaussian_noise",
    "colorjitter",
    "randomgrayscale",
    "gaussian_blur",
]

INTERPOLATION_MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}


class Random2DTranslation:
    """Resizes to (height, width) or, with probability ``p``, resizes to 9/8 of it and crops randomly."""

    def __init__(
        self, height: int, width: int, p: float = 0.5, interpolation: InterpolationMode = InterpolationMode.BILINEAR
    ) -> None:
        self.height = height
        self.width = width
        self.p = p
        self.interpolation = interpolation

    def __call__(self, img: Image.Image) -> Image.Image:
        if random.uniform(0, 1) > self.p:
            return F.resize(img, [self.height, self.width], interpolation=self.interpolation)
        height, width = round(self.height * 1.125), round(self.width * 1.125)
        larger = F.resize(img, [height, width], interpolation=self.interpolation)
        left = round(random.uniform(0, width - self.width))
        top = round(random.uniform(0, height - self.height))
        return F.crop(larger, top, left, self.height, self.width)


class InstanceNormalization:
    """Scales each channel of a tensor (channels, height, width) to mean 0 and standard deviation 1."""

    def __init__(self, eps: float = 1e-8) -> None:
        self.eps = eps

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        flat = img.reshape(img.shape[0], -1)
        mean, std = flat.mean(1).view(-1, 1, 1), flat.std(1).view(-1, 1, 1)
        return (img - mean) / (std + self.eps)


class Cutout:
    """Zeroes ``n_holes`` random squares, ``length`` pixels wide, in a (C, H, W) tensor, clipped at its border."""

    def __init__(self, n_holes: int = 1, length: int = 16) -> None:
        self.n_holes = n_holes
        self.length = length

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        height, width = img.shape[1:]
        half = self.length // 2
        mask = torch.ones(height, width)
        for _ in range(self.n_holes):
            y, x = np.random.randint(height), np.random.randint(width)
            mask[max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
        return img * mask


class GaussianNoise:
    """Adds normal noise to a tensor with probability ``p``."""

    def __init__(self, mean: float = 0, std: float = 0.15, p: float = 0.5) -> None:
        self.mean = mean
        self.std = std
        self.p = p

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        if random.uniform(0, 1) > self.p:
            return img
        return img + (torch.randn(img.size()) * self.std + self.mean)


def build_transform(cfg: CfgNode, is_train: bool = True, choices: Sequence[str] | None = None) -> Compose | None:
    """Build the transform from a PIL image to a tensor (3, height, width); None with INPUT.NO_TRANSFORM.

    The order is fixed, whatever the order of the choices. A test transform resizes, crops the centre, and uses only the
    choices "normalize" and "instance_norm".

    Args:
        choices: names from ``AVAI_CHOICES``, by default INPUT.TRANSFORMS.

    Raises:
        ValueError: a name is unknown.
    """
    if cfg.INPUT.NO_TRANSFORM:
        print("Note: no transform is applied!")
        return None
    if choices is None:
        choices = cfg.INPUT.TRANSFORMS
    for choice in choices:
        if choice not in AVAI_CHOICES:
            nearest = get_most_similar_str_to_a_from_b(choice, AVAI_CHOICES)
            raise ValueError(
                f"INPUT.TRANSFORMS names '{choice}', which is unknown (do you mean '{nearest}'?); "
                f"known: {', '.join(AVAI_CHOICES)}"
            )
    if cfg.INPUT.INTERPOLATION not in INTERPOLATION_MODES:
        raise ValueError(
            f"INPUT.INTERPOLATION must be one of {', '.join(INTERPOLATION_MODES)}, but got '{cfg.INPUT.INTERPOLATION}'"
        )
    steps = _train_steps(cfg.INPUT, choices) if is_train else _test_steps(cfg.INPUT, choices)
    print(f"Building transform_{'train' if is_train else 'test'}")
    for line, _ in steps:
        if line:
            print(f"+ {line}")
    return Compose([step for _, step in steps])


def _train_steps(cfg: CfgNode, choices: Sequence[str]) -> list[tuple]:
    """Return (log line, transform) pairs in order."""
    size = list(cfg.SIZE)
    interpolation = INTERPOLATION_MODES[cfg.INTERPOLATION]
    jitter = dict(
        brightness=cfg.COLORJITTER_B, contrast=cfg.COLORJITTER_C, saturation=cfg.COLORJITTER_S, hue=cfg.COLORJITTER_H
    )
    n, m = cfg.RANDAUGMENT_N, cfg.RANDAUGMENT_M
    # Plugins may have their own defaults, from before this key existed.
    scale = cfg.get("RRCROP_SCALE", (0.08, 1.0))

    steps: list[tuple] = []  # starts with a resize unless a crop sets the size
    if "random_crop" not in choices and "random_resized_crop" not in choices:
        steps.append((f"resize to {size[0]}x{size[1]}", Resize(size, interpolation=interpolation)))

    def add(choice: str, line: str, make: Callable[[], Any]) -> None:
        if choice in choices:
            steps.append((line, make()))

    add("random_translation", "random translation", lambda: Random2DTranslation(*size))
    add(
        "random_crop",
        f"random crop (padding = {cfg.CROP_PADDING})",
        lambda: RandomCrop(size, padding=cfg.CROP_PADDING),
    )
    add(
        "random_resized_crop",
        f"random resized crop (size={cfg.SIZE}, scale={scale})",
        lambda: RandomResizedCrop(size, scale=scale, interpolation=interpolation),
    )
    add("random_flip", "random flip", RandomHorizontalFlip)
    add("imagenet_policy", "imagenet policy", ImageNetPolicy)
    add("cifar10_policy", "cifar10 policy", CIFAR10Policy)
    add("svhn_policy", "svhn policy", SVHNPolicy)
    add("randaugment", f"randaugment (n={n}, m={m})", lambda: RandAugment(n, m))
    add("randaugment_fixmatch", f"randaugment_fixmatch (n={n})", lambda: RandAugmentFixMatch(n))
    add("randaugment2", f"randaugment2 (n={n})", lambda: RandAugment2(n))
    add(
        "colorjitter",
        f"color jitter ({', '.join(f'{key}={value}' for key, value in jitter.items())})",
        lambda: ColorJitter(**jitter),
    )
    add("randomgrayscale", "random gray scale", lambda: RandomGrayscale(p=cfg.RGS_P))
    add(
        "gaussian_blur",
        f"gaussian blur (kernel={cfg.GB_K})",
        lambda: RandomApply([GaussianBlur(cfg.GB_K)], p=cfg.GB_P),
    )
    steps.append(("to torch tensor of range [0, 1]", ToTensor()))
    add(
        "cutout",
        f"cutout (n_holes={cfg.CUTOUT_N}, length={cfg.CUTOUT_LEN})",
        lambda: Cutout(cfg.CUTOUT_N, cfg.CUTOUT_LEN),
    )
    add("normalize", *_normalization(cfg))
    add(
        "gaussian_noise",
        f"gaussian noise (mean={cfg.GN_MEAN}, std={cfg.GN_STD})",
        lambda: GaussianNoise(cfg.GN_MEAN, cfg.GN_STD),
    )
    add("instance_norm", "instance normalization", InstanceNormalization)
    return steps


def _test_steps(cfg: CfgNode, choices: Sequence[str]) -> list[tuple]:
    """Return (log line, transform) pairs in order."""
    size = list(cfg.SIZE)
    steps: list[tuple] = [
        (
            f"resize the smaller edge to {max(size)}",
            Resize(max(size), interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION]),
        ),
        (f"{size[0]}x{size[1]} center crop", CenterCrop(size)),
        ("to torch tensor of range [0, 1]", ToTensor()),
    ]
    if "normalize" in choices:
        line, make = _normalization(cfg)
        steps.append((line, make()))
    if "instance_norm" in choices:
        steps.append(("instance normalization", InstanceNormalization()))
    return steps


def _normalization(cfg: CfgNode) -> tuple:
    line = f"normalization (mean={cfg.PIXEL_MEAN}, std={cfg.PIXEL_STD})"
    return line, lambda: Normalize(mean=cfg.PIXEL_MEAN, std=cfg.PIXEL_STD)
