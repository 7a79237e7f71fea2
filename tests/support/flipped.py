"""Damage to files of torch.save."""

from __future__ import annotations

import zipfile
from pathlib import Path


def flip_bit_of(path: Path, part: str) -> None:
    """Flip a bit of an entry, such as "data.pkl" or "data/0", whose name ends in ``part``."""
    with zipfile.ZipFile(path) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith(part))
    content = bytearray(path.read_bytes())
    start = entry.header_offset
    lengths = (int.from_bytes(content[start + at : start + at + 2], "little") for at in (26, 28))  # name, extra field
    content[start + 30 + sum(lengths) + entry.file_size // 2] ^= 4
    path.write_bytes(content)
