"""Test images as thumbnails embedded in a page."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from common.files import is_regular, read_bytes

SIDE = 96
IMAGE_BYTES = 1 << 30  # as in prompting/photographs.py


def image_roots(data: Path | None, recorded: Iterable[str | None]) -> list[Path]:
    """Folders that image paths may be relative to: first those in ``data``, if given, then those the runs recorded."""
    known = [Path(root) for root in dict.fromkeys(recorded) if root]
    inside = [data, *(data / root.name for root in known)] if data is not None else []
    return [*inside, *known]


def thumbnail(image: str, roots: Sequence[Path], unreadable: list[str] | None = None) -> str | None:
    """An image as a JPEG data URI of a few KB; None if it is not in any of ``roots`` or cannot be read.

    Images that are there and cannot be read are added to ``unreadable``: a damaged one must not cost the page.
    """
    path = PurePosixPath(image.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        return None
    found = [root / path for root in roots if is_regular(root / path)]
    for file in found:
        try:
            return "data:image/jpeg;base64," + base64.b64encode(_jpeg(file)).decode("ascii")
        except Exception:  # Pillow's plug-ins raise almost anything for a damaged file
            continue
    if found and unreadable is not None:
        unreadable.append(image)
    return None


def _read(path: Path) -> Image.Image:
    """A picture as upright RGB, converted as methods see it (`prompting.photographs.read_image`)."""
    opened = Image.open(io.BytesIO(read_bytes(path, IMAGE_BYTES)))  # by its path, Pillow 13 scrambles turned grey TIFFs
    opened.draft("RGB", (2 * SIDE, 2 * SIDE))  # avoids decoding large photographs at full size
    upright = ImageOps.exif_transpose(opened)
    if upright.mode.startswith("I;16") or (upright.mode == "I" and opened.format in ("PNG", "PPM")):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    elif upright.mode in ("I", "F"):
        values = np.asarray(upright, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low, high = finite.min(), finite.max()  # ValueError if there are none
        grey = np.nan_to_num((values - low) / ((high - low) or 1), nan=0, posinf=1, neginf=0).clip(0, 1)
        upright = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    return upright.convert("RGB")


def _jpeg(path: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large or damaged images
        picture = _read(path)
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=72, optimize=True)
    return file.getvalue()
