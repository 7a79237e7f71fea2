"""Small stand-ins for public datasets, built in a temporary folder in the layout of the original release."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image


def write_image(path: str | Path, mode: str = "RGB", size: tuple[int, int] = (8, 8), format: str | None = None) -> Path:
    """Write a small valid image at ``path``, parents included; every path gets different pixels."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    bytes_per_pixel = {"RGB": 3, "L": 1, "RGBA": 4, "CMYK": 4, "P": 1, "1": 1}[mode]
    wanted = size[0] * size[1] * bytes_per_pixel
    pixels = hashlib.shake_256(str(path).encode()).digest(wanted)
    if mode == "1":
        image = Image.frombytes("L", size, pixels).convert("1")
    else:
        image = Image.frombytes(mode, size, pixels)
        if mode == "P":
            image.putpalette(bytes(range(256)) * 3)
    image.save(path, format=format)
    return path
