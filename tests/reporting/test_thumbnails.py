"""Thumbnails show what methods see."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.images import read_image
from reporting.thumbnails import _read, thumbnail

RAMP = np.linspace(0, 1, 48 * 64).reshape(48, 64)
SHAPES: dict[str, tuple[np.ndarray, str]] = {
    "8 bits": ((RAMP * 255).astype(np.uint8), "png"),
    "16 bits": ((RAMP * 65535).astype(np.uint16), "png"),
    "16 bits, dark": ((RAMP * 1000).astype(np.uint16), "tif"),
    "16 bits, portable": ((RAMP * 65535).astype(np.uint16), "pgm"),
    "32 bits": ((RAMP * 4000 - 1000).astype(np.int32), "tif"),
    "floats": (RAMP.astype(np.float32), "tif"),
    "floats with gaps": (np.where(RAMP < 0.1, np.nan, np.where(RAMP > 0.9, np.inf, RAMP)).astype(np.float32), "tif"),
    "one value": (np.full((48, 64), 7, np.float32), "tif"),
    "colours": ((np.stack([RAMP, 1 - RAMP, RAMP / 2], 2) * 255).astype(np.uint8), "png"),
    "transparent": ((np.stack([RAMP, 1 - RAMP, RAMP / 2, RAMP], 2) * 255).astype(np.uint8), "png"),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_pixels_are_those_that_methods_see(kind: str, tmp_path: Path) -> None:
    """The conversion is written twice, since reports need no PyTorch and common/ the standard library alone."""
    values, suffix = SHAPES[kind]
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(values).save(path)
    seen = np.asarray(read_image(str(path)))
    assert np.array_equal(np.asarray(_read(path)), seen)
    shown = thumbnail(path.name, [tmp_path])
    assert shown is not None
    with Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))) as small:
        gap = np.abs(np.asarray(small.convert("RGB"), dtype=float) - seen)
    assert gap.mean() < 8


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "floats", "colours"])
def test_a_turned_picture_is_upright(kind: str, tmp_path: Path) -> None:
    values, _ = SHAPES[kind]
    image = Image.fromarray(values)
    exif = image.getexif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    image.save(tmp_path / "a.tif", exif=exif)
    upright = _read(tmp_path / "a.tif")
    assert upright.size == (48, 64) and np.array_equal(np.asarray(upright), np.asarray(read_image(f"{tmp_path}/a.tif")))


def test_a_picture_without_finite_values_has_no_thumbnail(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "a.tif")
    unreadable: list[str] = []
    assert thumbnail("a.tif", [tmp_path], unreadable) is None and unreadable == ["a.tif"]
