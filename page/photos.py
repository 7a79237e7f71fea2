"""From an upload to an image. Uploads could be anybody's, so size, pixels and formats are limited."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

from PIL import Image, ImageOps

from common.errors import InputError
from prompting.image_files import image_suffixes
from prompting.photographs import read_image

UPLOAD_BYTES = 20 << 20
UPLOAD_PIXELS = 64_000_000  # decoded, 192 MB; photographs of phones have up to 50 million
# Pillow's names. Others are rare as photographs, and some are handed to other programs.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
SHOWN_BY_BROWSERS = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
PREVIEW = 1024  # pixels of the longer side
THUMBNAIL = 176  # pixels of a side: twice what the page shows, for fine screens


def opened(path: str, name: str) -> Image.Image:
    """An uploaded file as an upright RGB image.

    Args:
        path: where it lies for now.
        name: what the visitor calls it, for messages.

    Raises:
        InputError: it is too large, or not a picture of one of FORMATS.
    """
    image_suffixes()  # Pillow knows all its formats after this, HEIF with pillow-heif among them
    known = tuple(kind for kind in FORMATS if kind in Image.OPEN)
    try:
        return read_image(path, UPLOAD_BYTES, UPLOAD_PIXELS, known)
    except InputError as error:
        raise InputError(str(error).replace(path, name).replace("; replace or remove it.", "; try another.")) from None


def preview(image: Image.Image) -> Image.Image:
    """A smaller copy, for files that browsers do not show."""
    small = image.copy()
    small.thumbnail((PREVIEW, PREVIEW))
    return small


@lru_cache(maxsize=1024)  # 10 kB each
def thumbnail(path: str) -> str:
    """The middle of a photograph as a small square, as the address of embedded JPEG data; "" if it cannot be read."""
    try:
        image = read_image(path)
    except InputError:
        return ""
    out = io.BytesIO()
    ImageOps.fit(image, (THUMBNAIL, THUMBNAIL)).save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
