"""Uploads: what is read of them, and what is refused before it is decoded."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from common.errors import InputError
from page import photos


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        photos.opened(str(path), "mine.png")
    message = str(error.value)
    assert "\n" not in message and str(path) not in message and message.startswith("Image mine.png")
    return message


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "tiff", "ppm"])
def test_photographs(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (6, 4), (200, 0, 0)).save(path)
    assert photos.opened(str(path), "a").size == (6, 4)


def test_names_do_not_decide(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a")
    assert photos.opened(str(tmp_path / "a"), "a").size == (6, 4)


def test_formats_that_are_not_photographs(tmp_path: Path) -> None:
    """Pillow would hand PostScript to another program."""
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "not an image" in refused(path)
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert "not an image" in refused(path)
    path.write_bytes(b"")
    refused(path)


def test_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "UPLOAD_BYTES", 1000)
    (tmp_path / "a.png").write_bytes(b"x" * 1001)
    assert "1,000 bytes" in refused(tmp_path / "a.png")


def test_too_many_pixels(tmp_path: Path) -> None:
    """A header of 50,000 x 50,000, and no pixels to decode."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    refused(tmp_path / "a.png")
    Image.new("1", (8001, 8000)).save(tmp_path / "b.png")  # a few kilobytes
    assert "8,001 x 8,000 pixels; at most 64,000,000" in refused(tmp_path / "b.png")


def test_a_preview_is_small_and_leaves_the_image_alone() -> None:
    image = Image.new("RGB", (4000, 1000))
    assert photos.preview(image).size == (1024, 256) and image.size == (4000, 1000)


def test_thumbnails_are_embedded(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), (0, 200, 0)).save(tmp_path / "a.png")
    start, data = photos.thumbnail(str(tmp_path / "a.png")).split(",")
    assert start == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (photos.THUMBNAIL,) * 2
    assert photos.thumbnail(str(tmp_path / "none.png")) == ""
