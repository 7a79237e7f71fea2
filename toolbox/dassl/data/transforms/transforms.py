"""Transforms by name, applied in a fixed order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

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

Step = tuple[str, Callable]  # log line, transform


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

    def __repr__(self) -> str:
        return f"InstanceNormalization(eps={self.eps})"


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
    steps = _resize_before_training(cfg.INPUT, choices) if is_train else _resize_before_test(cfg.INPUT)
    for name, make in TRAIN_STEPS if is_train else TEST_STEPS:
        if name == "" or name in choices:
            steps.append(make(cfg.INPUT))
    print(f"Building transform_{'train' if is_train else 'test'}")
    for line, _ in steps:
        print(f"+ {line}")
    return Compose([step for _, step in steps])


# Settings of a choice are read here, and only here: a plugin's defaults may lack those of the other choices.


def _random_translation(cfg: CfgNode) -> Step:
    return "random translation", Random2DTranslation(*cfg.SIZE)


def _random_crop(cfg: CfgNode) -> Step:
    padding = cfg.CROP_PADDING
    return f"random crop (padding = {padding})", RandomCrop(list(cfg.SIZE), padding=padding)


def _random_resized_crop(cfg: CfgNode) -> Step:
    # Missing in the defaults of an older Dassl, which some plugins have.
    scale = cfg.get("RRCROP_SCALE", (0.08, 1.0))
    crop = RandomResizedCrop(list(cfg.SIZE), scale=scale, interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION])
    return f"random resized crop (size={cfg.SIZE}, scale={scale})", crop


def _randaugment(cfg: CfgNode) -> Step:
    n, m = cfg.RANDAUGMENT_N, cfg.RANDAUGMENT_M
    return f"randaugment (n={n}, m={m})", RandAugment(n, m)


def _colorjitter(cfg: CfgNode) -> Step:
    jitter = dict(
        brightness=cfg.COLORJITTER_B, contrast=cfg.COLORJITTER_C, saturation=cfg.COLORJITTER_S, hue=cfg.COLORJITTER_H
    )
    return f"color jitter ({', '.join(f'{key}={value}' for key, value in jitter.items())})", ColorJitter(**jitter)


def _gaussian_blur(cfg: CfgNode) -> Step:
    return f"gaussian blur (kernel={cfg.GB_K})", RandomApply([GaussianBlur(cfg.GB_K)], p=cfg.GB_P)


def _cutout(cfg: CfgNode) -> Step:
    n, length = cfg.CUTOUT_N, cfg.CUTOUT_LEN
    return f"cutout (n_holes={n}, length={length})", Cutout(n, length)


def _normalize(cfg: CfgNode) -> Step:
    mean, std = cfg.PIXEL_MEAN, cfg.PIXEL_STD
    return f"normalization (mean={mean}, std={std})", Normalize(mean=mean, std=std)


def _gaussian_noise(cfg: CfgNode) -> Step:
    mean, std = cfg.GN_MEAN, cfg.GN_STD
    return f"gaussian noise (mean={mean}, std={std})", GaussianNoise(mean, std)


def _to_tensor(cfg: CfgNode) -> Step:
    return "to torch tensor of range [0, 1]", ToTensor()


def _instance_norm(cfg: CfgNode) -> Step:
    return "instance normalization", InstanceNormalization()


# In the order in which they are applied; "" is part of every transform.
TRAIN_STEPS: list[tuple[str, Callable[[CfgNode], Step]]] = [
    ("random_translation", _random_translation),
    ("random_crop", _random_crop),
    ("random_resized_crop", _random_resized_crop),
    ("random_flip", lambda cfg: ("random flip", RandomHorizontalFlip())),
    ("imagenet_policy", lambda cfg: ("imagenet policy", ImageNetPolicy())),
    ("cifar10_policy", lambda cfg: ("cifar10 policy", CIFAR10Policy())),
    ("svhn_policy", lambda cfg: ("svhn policy", SVHNPolicy())),
    ("randaugment", _randaugment),
    (
        "randaugment_fixmatch",
        lambda cfg: (f"randaugment_fixmatch (n={cfg.RANDAUGMENT_N})", RandAugmentFixMatch(cfg.RANDAUGMENT_N)),
    ),
    ("randaugment2", lambda cfg: (f"randaugment2 (n={cfg.RANDAUGMENT_N})", RandAugment2(cfg.RANDAUGMENT_N))),
    ("colorjitter", _colorjitter),
    ("randomgrayscale", lambda cfg: ("random gray scale", RandomGrayscale(p=cfg.RGS_P))),
    ("gaussian_blur", _gaussian_blur),
    ("", _to_tensor),
    ("cutout", _cutout),
    ("normalize", _normalize),
    ("gaussian_noise", _gaussian_noise),
    ("instance_norm", _instance_norm),
]
TEST_STEPS = [("", _to_tensor), ("normalize", _normalize), ("instance_norm", _instance_norm)]


def _resize_before_training(cfg: CfgNode, choices: Sequence[str]) -> list[Step]:
    if "random_crop" in choices or "random_resized_crop" in choices:  # the crop sets the size
        return []
    height, width = cfg.SIZE
    return [
        (
            f"resize to {height}x{width}",
            Resize([height, width], interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION]),
        )
    ]


def _resize_before_test(cfg: CfgNode) -> list[Step]:
    size = list(cfg.SIZE)
    return [
        (
            f"resize the smaller edge to {max(size)}",
            Resize(max(size), interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION]),
        ),
        (f"{size[0]}x{size[1]} center crop", CenterCrop(size)),
    ]
