"""Which files are images, by their names: every format that Pillow reads here. No file is opened."""

from __future__ import annotations

import contextlib
import os
from functools import cache

from PIL import Image

# Formats that Pillow opens and that are not pictures, or need a program beside it.
NOT_PICTURES = {".bufr", ".eps", ".fit", ".fits", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps"}
CLUTTER = {"thumbs.db", "desktop.ini"}  # what file managers leave


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of all pictures that Pillow reads here; HEIC and HEIF are among them if pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return tuple(sorted(readable - NOT_PICTURES))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder or a link to one; False for links that lead nowhere or in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def may_be_file(entry: os.DirEntry[str]) -> bool:
    """True for a regular file and for any link; False for folders, named pipes, sockets and devices.

    Where links lead is not looked up, which takes minutes for 100,000 on a network disk; readers refuse what is not a
    regular file.
    """
    try:
        return entry.is_symlink() or entry.is_file()
    except OSError:
        return False


def is_image(entry: os.DirEntry[str]) -> bool:
    """True for a file or link that is not hidden and has an image's suffix; it is not opened."""
    return entry.name[0] != "." and entry.name.lower().endswith(image_suffixes()) and may_be_file(entry)
