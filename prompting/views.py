"""From a photograph to the pixels that an image tower reads in tests, and the size of a batch of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from prompting.pixels import MODES

CPU_PIXELS = 200_000  # per batch; measured: four images of 224 pixels at a time are four times faster than 64
GPU_IMAGES = 256  # without gradients a GPU can take far more than a training batch
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
CENTRE = "centre"  # the only crop

View = Callable[[Image.Image], Tensor]


def images_at_a_time(device: torch.device, size: int) -> int:
    """Return how many images of ``size`` x ``size`` pixels to encode together without gradients.

    A CPU is fastest if its caches hold a batch.
    """
    return GPU_IMAGES if device.type == "cuda" else max(1, CPU_PIXELS // size**2)


class PaddedToSquare:
    """Resize the longest side and pad the other with black, equally on both sides, as OpenCLIP's "longest" does."""

    def __init__(self, size: int, interpolation: InterpolationMode):
        self.size, self.interpolation = size, interpolation

    def __call__(self, image: Image.Image) -> Image.Image:
        scale = self.size / max(image.size)
        height, width = (max(1, round(side * scale)) for side in (image.height, image.width))
        small = Resize((height, width), self.interpolation)(image)
        square = Image.new(image.mode, (self.size, self.size))
        square.paste(small, ((self.size - width) // 2, (self.size - height) // 2))
        return square

    def __repr__(self) -> str:
        return f"PaddedToSquare(size={self.size}, interpolation={self.interpolation.value})"


class InstanceNorm:
    """Scales each channel of a (channels, height, width) tensor to mean 0 and standard deviation 1."""

    def __call__(self, image: Tensor) -> Tensor:
        flat = image.flatten(1)
        mean, std = flat.mean(1).view(-1, 1, 1), flat.std(1).view(-1, 1, 1)
        return (image - mean) / (std + 1e-8)


@dataclass(frozen=True)
class Shown:
    """What a run's test images become, to the last detail.

    Args:
        size: (height, width) in pixels.
        mean, std: of each channel; () without normalisation.
        interpolation: one of INTERPOLATIONS.
        resize_mode: "shortest" (the shortest side becomes the longer one of ``size``, then the centre is cropped),
            "squash" ignores the picture's proportions, "longest" pads it with black.
        instance_norm: each channel of each image is scaled to mean 0 and standard deviation 1 in the end.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    instance_norm: bool = False

    def view(self) -> View:
        """Return the transform from an upright RGB image to a (3, height, width) float32 tensor."""
        interpolation = InterpolationMode(self.interpolation)
        steps: list[Any]
        if self.resize_mode == "squash":
            steps = [Resize(self.size, interpolation)]
        elif self.resize_mode == "longest":
            steps = [PaddedToSquare(self.size[0], interpolation)]
        else:
            steps = [Resize(max(self.size), interpolation), CenterCrop(self.size)]
        steps.append(ToTensor())
        if self.mean:
            steps.append(Normalize(self.mean, self.std))
        if self.instance_norm:
            steps.append(InstanceNorm())
        return Compose(steps)

    def recorded(self) -> dict[str, Any]:
        """Return it as JSON values; `shown` reads them back."""
        crop = CENTRE if self.resize_mode == "shortest" else None
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()} | {
            "crop": crop
        }


def shown(recorded: Mapping[str, Any]) -> Shown:
    """Read what `Shown.recorded` wrote; LookupError, TypeError or ValueError if it is something else."""
    size = tuple(int(side) for side in recorded["size"])
    mean, std = (_channels(recorded[key]) for key in ("mean", "std"))
    interpolation, mode = str(recorded["interpolation"]), str(recorded["resize_mode"])
    known = interpolation in INTERPOLATIONS and mode in MODES and len(mean) == len(std) and 0 not in std
    if not known or len(size) != 2 or not all(0 < side <= 1 << 14 for side in size):
        raise ValueError("its pixels are damaged")
    found = Shown((size[0], size[1]), mean, std, interpolation, mode, bool(recorded["instance_norm"]))
    if recorded["crop"] != found.recorded()["crop"]:
        raise ValueError(f"its crop is {recorded['crop']!r}")
    return found


def _channels(values: Sequence[Any]) -> tuple[float, ...]:
    channels = tuple(float(value) for value in values)
    if len(channels) not in (0, 3) or not all(map(math.isfinite, channels)):
        raise ValueError("its pixels are damaged")
    return channels
