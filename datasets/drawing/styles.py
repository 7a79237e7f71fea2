"""The twelve styles: how they draw, and how they finish the picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from .plant import Look

LOOKS: dict[str, Look] = {
    "paint": Look(),
    "poster": Look(steps=1, outline=150, outline_shade=0.72, outline_width=0.003, veins=False, shadow=0, blur=0.0),
    "watercolour": Look(steps=4, outline=110, outline_shade=0.62, outline_width=0.003, shadow=26, blur=0.012),
    "photo": Look(steps=6, outline=90, outline_shade=0.8, outline_width=0.002, shadow=84, blur=0.026),
    "ink": Look(steps=2, outline=255, outline_shade=0.24, outline_width=0.0065, veins=True, shadow=0, blur=0.0),
    "pastel": Look(steps=4, outline=140, outline_shade=0.8, outline_width=0.003, shadow=34, blur=0.01),
    "dusk": Look(steps=5, outline=255, shadow=90, blur=0.012),
    "pencil": Look(steps=3, outline=255, outline_shade=0.45, outline_width=0.004, shadow=40, blur=0.004),
    "film": Look(steps=5, outline=120, shadow=70, blur=0.018),
    "cluttered": Look(),
    "mosaic": Look(steps=3, outline=200, veins=False, shadow=40, blur=0.004),
    "faded": Look(steps=4, outline=150, outline_shade=0.75, shadow=40, blur=0.008),
}

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _field(random: np.random.RandomState, side: int, cells: int) -> np.ndarray:
    """Smooth noise of shape (side, side, 1), about -1 to 1, with ``cells`` hills per side."""
    coarse = random.standard_normal((cells, cells)).astype(np.float32) * 0.6
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))[:, :, None]


@lru_cache(maxsize=8)
def _from_centre(side: int) -> np.ndarray:
    """Squared distance from the middle of the picture, 0 there and 1 in the corners, of shape (side, side, 1)."""
    line = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    return ((line[:, None] ** 2 + line[None, :] ** 2) / 2)[:, :, None]


def _grey(pixels: np.ndarray) -> np.ndarray:
    return (pixels @ _LUMA)[:, :, None]


def _edges(pixels: np.ndarray) -> np.ndarray:
    """Slope of the steepest channel, of shape (side, side, 1)."""
    down = np.abs(np.diff(pixels, axis=0, append=pixels[-1:])).max(axis=2)
    across = np.abs(np.diff(pixels, axis=1, append=pixels[:, -1:])).max(axis=2)
    return np.maximum(down, across)[:, :, None]


def finish(image: Image.Image, style: str, seed: int) -> Image.Image:
    """Add the style's paper, light, grain or grid to an RGB picture, which keeps its size."""
    if style in ("paint", "cluttered", "ink"):
        return image
    side = image.width
    random = np.random.RandomState(seed & 0xFFFFFFFF)
    if style == "poster":
        # few strengths of ink, so gradients become bands
        return image.point([min(255, round(value / 28) * 28 + 3) for value in range(256)] * 3)
    if style == "mosaic":
        return _mosaic(image, random)
    if style == "watercolour":
        image = image.filter(ImageFilter.ModeFilter(3)) if side >= 64 else image
    pixels: np.ndarray = np.asarray(image, dtype=np.float32)
    if style == "watercolour":
        wash = _field(random, side, 7) * 0.10 + _field(random, side, max(8, side // 3)) * 0.05
        pixels = 255 - (255 - pixels) * (0.86 + wash)
        rim = _edges(pixels)
        pixels = pixels * (1 - 0.0018 * np.minimum(rim, 90))
        paper = np.array([252, 249, 240], dtype=np.float32)
        torn = np.clip((_from_centre(side) + 0.06 * _field(random, side, 9) - 0.62) * 7, 0, 1)
        pixels = pixels + (paper - pixels) * torn
    elif style == "photo":
        pixels = (pixels - 128) * 1.12 + 130
        pixels = pixels * (1.05 - 0.38 * _from_centre(side)) * np.array([1.03, 1.0, 0.95], dtype=np.float32)
        pixels += random.standard_normal(pixels.shape[:2]).astype(np.float32)[:, :, None] * 3
    elif style == "pastel":
        pixels = pixels + (np.array([255, 248, 238], dtype=np.float32) - pixels) * 0.32
        pixels += _field(random, side, max(8, side // 2)) * 9
    elif style == "dusk":
        grey = _grey(pixels)
        pixels = grey + (pixels - grey) * 0.72
        glow = np.clip(1.0 - 1.35 * _from_centre(side), 0.15, 1)
        pixels = pixels * (0.32 + 0.34 * glow) * np.array([0.94, 0.92, 1.16], dtype=np.float32) + np.array(
            [8, 8, 22], dtype=np.float32
        )
    elif style == "pencil":
        grey = _grey(pixels)
        tint = grey + (pixels - grey) * 0.95
        row, column = np.mgrid[0:side, 0:side].astype(np.float32) * (96.0 / side)
        hatch = 0.5 + 0.5 * np.sin((row + column) * 1.7 + 2 * _field(random, side, 6)[:, :, 0])
        cover = np.clip((255 - grey) / 255 * 0.66 + 0.26 + 0.16 * (hatch[:, :, None] - 0.5), 0, 0.85)
        paper = np.array([250, 246, 236], dtype=np.float32)
        pixels = paper + (tint * 0.94 - paper) * cover
        pixels = pixels - np.clip(_edges(np.asarray(image, dtype=np.float32)) - 14, 0, 90) * 0.8
        pixels += random.standard_normal((side, side, 1)).astype(np.float32) * 3
    elif style == "film":
        grey = _grey(pixels)
        pixels = grey + (pixels - grey) * 0.66
        pixels = pixels * np.array([1.02, 0.95, 0.78], dtype=np.float32) * (1.04 - 0.45 * _from_centre(side)) + 12
        pixels += random.standard_normal((side, side, 1)).astype(np.float32) * 10
    elif style == "faded":
        pixels = pixels * 0.5 + np.array([122, 116, 100], dtype=np.float32)
        pixels += _field(random, side, 5) * 9 + random.standard_normal((side, side, 1)).astype(np.float32) * 4
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _mosaic(image: Image.Image, random: np.random.RandomState) -> Image.Image:
    """Small tiles, each of one slightly varied colour, with grout between them."""
    side, tiles = image.width, 38
    small = np.asarray(image.resize((tiles, tiles), Image.Resampling.BOX), dtype=np.float32)
    small = small * (1 + 0.06 * random.standard_normal((tiles, tiles, 1)).astype(np.float32))
    cell = 4
    big = np.repeat(np.repeat(small, cell, axis=0), cell, axis=1)
    grout = np.ones((tiles * cell, tiles * cell, 1), dtype=np.float32)
    grout[::cell] = 0.8
    grout[:, ::cell] = 0.8
    big = big * grout
    picture = Image.fromarray(np.clip(np.rint(big), 0, 255).astype(np.uint8))
    return picture.resize((side, side), Image.Resampling.LANCZOS)
