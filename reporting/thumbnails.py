"""Test images as thumbnails embedded in a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

SIDE = 96


def image_roots(data: Path | None, recorded: Iterable[str | None]) -> list[Path]:
    """Folders that image paths may be relative to: first those in ``data``, if given, then those the runs recorded."""
    known = [Path(root) for root in dict.fromkeys(recorded) if root]
    inside = [data, *(data / root.name for root in known)] if data is not None else []
    return [*inside, *known]


def thumbnail(image: str, roots: Sequence[Path]) -> str | None:
    """An image as a JPEG data URI of a few KB; None if it is not in any of ``roots`` or cannot be read."""
    path = PurePosixPath(image.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        return None
    for root in roots:
        try:
            with Image.open(root / path) as opened:
                opened.draft("RGB", (2 * SIDE, 2 * SIDE))  # avoids decoding large photographs at full size
                picture = ImageOps.exif_transpose(opened).convert("RGB")
            picture.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=72, optimize=True)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return None
