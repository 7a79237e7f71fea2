"""Reads photographs: whatever a file holds becomes upright RGB, or one line says why it cannot be read."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.errors import InputError
from common.files import read_bytes
from common.text import one_line

IMAGE_BYTES = 1 << 30  # of a file; the largest photographs have some hundred megabytes
GREY_16 = ("PNG", "PPM")  # formats of 16 bits per value that Pillow may open in its mode for 32 bits

# Pillow warns of odd metadata, of no interest for pixels, and of damage, which is reported if it matters.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_image(
    path: str,
    most_bytes: int = IMAGE_BYTES,
    most_pixels: int | None = None,
    formats: tuple[str, ...] | None = None,
) -> Image.Image:
    """Decode an image as upright RGB.

    Grey values of more than 8 bits become 8 bits: those of 16 bits by their high byte, those of 32 bits and floats
    from the image's own smallest finite value (black) to its largest (white), since their range has no convention.

    Args:
        path: of its file.
        most_bytes: of the file.
        most_pixels: width x height, compared before any are decoded; by default only Pillow's own limit holds.
        formats: Pillow's names of those to try; by default all.

    Raises:
        InputError: it is missing, truncated, too large, not a regular file or not an image; the message names it.
    """
    try:
        with Image.open(io.BytesIO(read_bytes(path, most_bytes)), formats=formats) as image:
            if most_pixels is not None and image.width * image.height > most_pixels:
                raise ValueError(f"it has {image.width:,} x {image.height:,} pixels; at most {most_pixels:,} are read")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format in GREY_16):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            elif upright.mode in ("I", "F"):
                upright = _stretched(upright)
            return upright.convert("RGB")
    except UnidentifiedImageError:
        reason = "it is not an image, or of a format that Pillow does not read"
    except OSError as error:
        reason = one_line(error.strerror or error)
    except Exception as error:  # Pillow's readers raise errors of any kind, struct.error and RuntimeError among them
        reason = one_line(error) or type(error).__name__
    raise InputError(f"Image {path} cannot be read ({reason}); replace or remove it.")


def _stretched(image: Image.Image) -> Image.Image:
    """A grey image with its values stretched to 8 bits; NaN is black."""
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("it has no finite values")
    low, high = finite.min(), finite.max()
    scaled = np.nan_to_num((values - low) / ((high - low) or 1), nan=0, posinf=1, neginf=0)
    return Image.fromarray(np.rint(scaled.clip(0, 1) * 255).astype(np.uint8))
