"""Image files for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image


def write_images(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = (40, 36)) -> None:
    """Write ``count`` small JPEG files of seeded noise on a seeded colour; ``size`` is (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        colour = torch.randint(0, 256, (3,), generator=generator)
        pixels = (colour + torch.randint(-40, 40, (size[1], size[0], 3), generator=generator)).clamp(0, 255).byte()
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.jpg")
