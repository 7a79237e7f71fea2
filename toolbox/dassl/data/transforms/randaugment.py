"""RandAugment in the three settings of upstream's transforms.

They differ from torchvision's RandAugment in operations, strengths and random draws. Strengths are in the units of the
operation (degrees, fractions of the width, factors). Random draws are in upstream's order, so a seed gives the same
images.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

Operation = Callable[[Image.Image, float], Image.Image]

_FILL = (125, 123, 114)  # ImageNet's mean colour


def _either_sign(value: float) -> float:
    return -value if random.random() > 0.5 else value


def _affine(img: Image.Image, *coefficients: float) -> Image.Image:
    return img.transform(img.size, Image.Transform.AFFINE, coefficients)


def ShearX(img: Image.Image, v: float) -> Image.Image:
    """Shear sideways by the slope ``v``, with random sign."""
    return _affine(img, 1, _either_sign(v), 0, 0, 1, 0)


def ShearY(img: Image.Image, v: float) -> Image.Image:
    """Shear upwards by the slope ``v``, with random sign."""
    return _affine(img, 1, 0, 0, _either_sign(v), 1, 0)


def TranslateXabs(img: Image.Image, v: float) -> Image.Image:
    """Move sideways by ``v`` pixels, with random sign."""
    return _affine(img, 1, 0, _either_sign(v), 0, 1, 0)


def TranslateYabs(img: Image.Image, v: float) -> Image.Image:
    """Move upwards by ``v`` pixels, with random sign."""
    return _affine(img, 1, 0, 0, 0, 1, _either_sign(v))


def TranslateX(img: Image.Image, v: float) -> Image.Image:
    """Move sideways by the fraction ``v`` of the width, with random sign."""
    return TranslateXabs(img, v * img.size[0])


def TranslateY(img: Image.Image, v: float) -> Image.Image:
    """Move upwards by the fraction ``v`` of the height, with random sign."""
    return TranslateYabs(img, v * img.size[1])


def Rotate(img: Image.Image, v: float) -> Image.Image:
    """Rotate by ``v`` degrees, with random sign."""
    return img.rotate(_either_sign(v))


def AutoContrast(img: Image.Image, _: float) -> Image.Image:
    """Stretch each channel to the full range."""
    return ImageOps.autocontrast(img)


def Invert(img: Image.Image, _: float) -> Image.Image:
    """Invert all values."""
    return ImageOps.invert(img)


def Equalize(img: Image.Image, _: float) -> Image.Image:
    """Equalise the histogram of each channel."""
    return ImageOps.equalize(img)


def Flip(img: Image.Image, _: float) -> Image.Image:
    """Swap left and right."""
    return ImageOps.mirror(img)


def Identity(img: Image.Image, v: float) -> Image.Image:
    """Return the image unchanged."""
    return img


def Solarize(img: Image.Image, v: float) -> Image.Image:
    """Invert the values of ``v`` (0 .. 256) and above."""
    return ImageOps.solarize(img, v)  # type: ignore[arg-type]  # Pillow accepts a float, and rounding changes pixels


def SolarizeAdd(img: Image.Image, addition: float = 0, threshold: int = 128) -> Image.Image:
    """Brighten by ``addition``, then solarize."""
    brighter = np.clip(np.asarray(img).astype(int) + addition, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter), threshold)


def Posterize(img: Image.Image, v: float) -> Image.Image:
    """Keep ``v`` bits (rounded down) of each channel."""
    return ImageOps.posterize(img, int(v))


def Contrast(img: Image.Image, v: float) -> Image.Image:
    """Multiply the contrast by ``v``."""
    return ImageEnhance.Contrast(img).enhance(v)


def Color(img: Image.Image, v: float) -> Image.Image:
    """Multiply the saturation by ``v``."""
    return ImageEnhance.Color(img).enhance(v)


def Brightness(img: Image.Image, v: float) -> Image.Image:
    """Multiply the brightness by ``v``."""
    return ImageEnhance.Brightness(img).enhance(v)


def Sharpness(img: Image.Image, v: float) -> Image.Image:
    """Multiply the sharpness by ``v``."""
    return ImageEnhance.Sharpness(img).enhance(v)


def Cutout(img: Image.Image, v: float) -> Image.Image:
    """Cover a random square whose side is the fraction ``v`` of the width."""
    return img if v <= 0 else CutoutAbs(img, v * img.size[0])


def CutoutAbs(img: Image.Image, v: float) -> Image.Image:
    """Cover a random square of ``v`` x ``v`` pixels, clipped at the border."""
    if v < 0:
        return img
    width, height = img.size
    x, y = np.random.uniform(width), np.random.uniform(height)
    left, top = int(max(0, x - v / 2)), int(max(0, y - v / 2))
    img = img.copy()
    ImageDraw.Draw(img).rectangle((left, top, min(width, left + v), min(height, top + v)), _FILL)
    return img


def SamplePairing(imgs: Sequence[np.ndarray]) -> Operation:
    """Return an operation that blends in the fraction ``v`` of a random one of ``imgs`` (height, width, 3; uint8)."""

    def blend(img1: Image.Image, v: float) -> Image.Image:
        other = Image.fromarray(imgs[np.random.choice(len(imgs))])
        return Image.blend(img1, other, v)

    return blend


class Lighting:
    """AlexNet's noise along the principal axes of colour, on a tensor (3, height, width).

    Args:
        alphastd: standard deviation along each axis, in units of its eigenvalue.
        eigval, eigvec: three eigenvalues, and their eigenvectors as columns.
    """

    def __init__(self, alphastd: float, eigval: Sequence[float], eigvec: Sequence[Sequence[float]]) -> None:
        self.alphastd = alphastd
        self.eigval = torch.tensor(eigval, dtype=torch.float)
        self.eigvec = torch.tensor(eigvec, dtype=torch.float)

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        if self.alphastd == 0:
            return img
        alpha = img.new_empty(3).normal_(0, self.alphastd)
        return img + (self.eigvec.to(img) @ (alpha * self.eigval.to(img))).view(3, 1, 1)


class CutoutDefault:
    """Zeroes, in place, a random square, ``length`` pixels wide, in a tensor (channels, height, width)."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        height, width = img.shape[1:]
        y, x = np.random.randint(height), np.random.randint(width)
        half = self.length // 2
        img[:, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
        return img


def randaugment_list() -> list[tuple[Operation, float, float]]:
    """Return operations with their weakest and strongest settings: RandAugment as in EfficientNet's code."""
    return [
        (AutoContrast, 0, 1),
        (Equalize, 0, 1),
        (Invert, 0, 1),
        (Rotate, 0, 30),
        (Posterize, 4, 8),
        (Solarize, 0, 256),
        (SolarizeAdd, 0, 110),
        (Color, 0.1, 1.9),
        (Contrast, 0.1, 1.9),
        (Brightness, 0.1, 1.9),
        (Sharpness, 0.1, 1.9),
        (ShearX, 0.0, 0.3),
        (ShearY, 0.0, 0.3),
        (CutoutAbs, 0, 40),
        (TranslateXabs, 0.0, 100),
        (TranslateYabs, 0.0, 100),
    ]


def _gentle_list(low: float, high: float, invert: bool) -> list[tuple[Operation, float, float]]:
    """Return the operations of the other two settings; enhancement factors are between ``low`` and ``high``."""
    return [
        (AutoContrast, 0, 1),
        (Brightness, low, high),
        (Color, low, high),
        (Contrast, low, high),
        (Equalize, 0, 1),
        (Identity, 0, 1),
        *([(Invert, 0, 1)] if invert else []),
        (Posterize, 4, 8),
        (Rotate, -30, 30),
        (Sharpness, low, high),
        (ShearX, -0.3, 0.3),
        (ShearY, -0.3, 0.3),
        (Solarize, 0, 256),
        (TranslateX, -0.3, 0.3),
        (TranslateY, -0.3, 0.3),
    ]


def randaugment_list2() -> list[tuple[Operation, float, float]]:
    """Return the operations of ``RandAugment2``."""
    return _gentle_list(0.1, 1.9, invert=True)


def fixmatch_list() -> list[tuple[Operation, float, float]]:
    """Return the operations of FixMatch (Sohn et al., NeurIPS 2020)."""
    return _gentle_list(0.05, 0.95, invert=False)


class RandAugment:
    """Applies ``n`` random operations per image, all at the strength ``m`` (0 .. 30)."""

    def __init__(self, n: int = 2, m: float = 10) -> None:
        if not 0 <= m <= 30:
            raise ValueError(f"INPUT.RANDAUGMENT_M must be between 0 and 30, but is {m}")
        self.n = n
        self.m = m
        self.augment_list = randaugment_list()

    def __call__(self, img: Image.Image) -> Image.Image:
        for operation, low, high in random.choices(self.augment_list, k=self.n):
            img = operation(img, (self.m / 30) * (high - low) + low)
        return img


class RandAugment2:
    """Applies ``n`` random operations per image, each with probability ``p``, at random strengths."""

    def __init__(self, n: int = 2, p: float = 0.6) -> None:
        self.n = n
        self.p = p
        self.augment_list = randaugment_list2()

    def __call__(self, img: Image.Image) -> Image.Image:
        for operation, low, high in random.choices(self.augment_list, k=self.n):
            if random.random() > self.p:
                continue
            img = operation(img, random.random() * (high - low) + low)
        return img


class RandAugmentFixMatch:
    """Applies ``n`` random operations per image, at random strengths."""

    def __init__(self, n: int = 2) -> None:
        self.n = n
        self.augment_list = fixmatch_list()

    def __call__(self, img: Image.Image) -> Image.Image:
        for operation, low, high in random.choices(self.augment_list, k=self.n):
            img = operation(img, random.random() * (high - low) + low)
        return img
