"""How test images become pixels: Dassl's transform, with the resizing that the tower was trained with."""

from __future__ import annotations

from typing import Any

from dassl.data.transforms import build_transform
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from yacs.config import CfgNode

from prompting.views import PaddedToSquare, Shown, View


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


def shown_in_tests(cfg: CfgNode, resize_mode: str) -> Shown:
    """Return what `as_tested` does, as a record from which `classifier` does the same without Dassl."""
    pixels = cfg.INPUT
    moments = (pixels.PIXEL_MEAN, pixels.PIXEL_STD) if "normalize" in pixels.TRANSFORMS else ((), ())
    mean, std = (tuple(map(float, values)) for values in moments)
    instance_norm = "instance_norm" in pixels.TRANSFORMS
    return Shown((pixels.SIZE[0], pixels.SIZE[1]), mean, std, pixels.INTERPOLATION, resize_mode, instance_norm)
