"""How test images become pixels: Dassl's transform, with the resizing that the tower was trained with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dassl.data.transforms import build_transform
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from yacs.config import CfgNode

View = Callable[[Image.Image], Tensor]


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


def as_tested(cfg: CfgNode, resize_mode: str) -> View:
    """Return the transform of test images.

    Args:
        cfg: a run's settings; INPUT decides on size, interpolation and normalisation.
        resize_mode: "shortest" is Dassl's own (shortest side, then the centre is cropped); "squash" ignores the
            picture's proportions; "longest" pads it.
    """
    plain: Any = build_transform(cfg, is_train=False)
    if resize_mode == "shortest":
        return plain
    interpolation = InterpolationMode(cfg.INPUT.INTERPOLATION)
    size = tuple(cfg.INPUT.SIZE)
    resize: Any = Resize(size, interpolation) if resize_mode == "squash" else PaddedToSquare(size[0], interpolation)
    rest = [step for step in plain.transforms if not isinstance(step, Resize | CenterCrop)]
    print(f"+ instead of resizing and cropping: {resize_mode} to {size[0]}x{size[1]}")
    return Compose([resize, *rest])
