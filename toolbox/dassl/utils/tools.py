"""Helpers for files, images, seeds and names."""

from __future__ import annotations

import json
import os
import os.path as osp
import platform
import random
import shutil
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image

__all__ = [
    "mkdir_if_missing",
    "check_isfile",
    "read_json",
    "write_json",
    "set_random_seed",
    "download_url",
    "read_image",
    "collect_env_info",
    "listdir_nohidden",
    "get_most_similar_str_to_a_from_b",
    "check_availability",
    "tolist_if_not",
]


def mkdir_if_missing(dirname: str) -> None:
    """Create the folder and its parents if missing; an empty name means the current folder."""
    if dirname:
        os.makedirs(dirname, exist_ok=True)


def check_isfile(fpath: str) -> bool:
    """Return whether ``fpath`` is a file; warn if it is not."""
    found = osp.isfile(fpath)
    if not found:
        warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return found


def read_json(fpath: str) -> Any:
    """Read a JSON file."""
    with open(fpath, encoding="utf-8") as file:
        return json.load(file)


def write_json(obj: Any, fpath: str) -> None:
    """Write ``obj`` as indented JSON. The folder is created, and the file appears only when it is complete."""
    with atomic_path(fpath) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(obj, file, indent=4, separators=(",", ": "))


@contextmanager
def atomic_path(fpath: str) -> Iterator[str]:
    """Yield a temporary path that replaces ``fpath`` if the block succeeds, and is removed if it fails.

    ``fpath`` always holds either its old content or all of the new content.
    """
    folder = osp.dirname(fpath)
    mkdir_if_missing(folder)
    handle, partial = tempfile.mkstemp(prefix=f".{osp.basename(fpath)}.", suffix=".part", dir=folder or ".")
    os.close(handle)
    try:
        yield partial
        # mkstemp makes files readable by the owner only; give the result the permissions of an ordinary open().
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        with open(partial, "r+b") as file:  # the data must be on disk before the rename
            os.fsync(file.fileno())
        os.replace(partial, fpath)
    except BaseException:
        if osp.exists(partial):
            os.remove(partial)
        raise


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators (CPU and all GPUs)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


def download_url(url: str, dst: str) -> None:
    """Download ``url`` to ``dst``, with a progress line on a terminal; a failed download leaves no file."""
    print(f'* url="{url}"')
    print(f'* destination="{dst}"')
    started = time.time()
    terminal = sys.stdout.isatty()

    def report(count: int, block: int, total: int) -> None:
        if not terminal or count == 0:
            return
        done, seconds = count * block, max(time.time() - started, 1e-3)
        share = f"{min(100, 100 * done // total)}%, " if total > 0 else ""
        sys.stdout.write(f"\r...{share}{done >> 20} MB, {int(done / 1024 / seconds)} KB/s, {int(seconds)} s")
        sys.stdout.flush()

    with atomic_path(dst) as partial:
        urllib.request.urlretrieve(url, partial, report)
    if terminal:
        sys.stdout.write("\n")


class BrokenImageError(OSError):
    """An image file that cannot be decoded; the message is one line that names it."""

    def __init__(self, message: str = "") -> None:
        # A data loader's worker passes its error on as type and formatted traceback; keep only the message.
        if message.startswith("Caught ") and "\n" in message:
            message = message.strip().splitlines()[-1].partition(": ")[2]
        super().__init__(message)


def read_image(path: str) -> Image.Image:
    """Return the image at ``path``, decoded, as RGB; the file is closed.

    Raises:
        FileNotFoundError: there is no such file.
        BrokenImageError: the image cannot be decoded; an ``OSError`` whose message names the path.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # Pillow raises many types, depending on format and damage
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(f"Image {path} cannot be read ({reason}); replace or remove it") from error


def collect_env_info() -> str:
    """Describe versions, processor and GPUs for a log, one fact per line."""
    import torchvision

    lines = [
        f"Python: {platform.python_version()} on {platform.platform()}",
        f"PyTorch: {torch.__version__}",
        f"torchvision: {torchvision.__version__}",
        f"NumPy: {np.__version__}",
        f"Pillow: {PIL.__version__}",
        f"CPU: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        f"CUDA available: {torch.cuda.is_available()} (built for {torch.version.cuda})",
    ]
    if torch.cuda.is_available():
        lines.append(f"cuDNN: {torch.backends.cudnn.version()}")
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            lines.append(f"GPU {index}: {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    free = shutil.disk_usage(".").free / 2**30
    lines.append(f"Free disk: {free:.0f} GiB")
    return "\n".join(lines)


def listdir_nohidden(path: str, sort: bool = False) -> list[str]:
    """List the names in the folder ``path`` that do not start with a dot, optionally sorted."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names


def get_most_similar_str_to_a_from_b(a: str, b: Iterable[str]) -> str | None:
    """Return the string of ``b`` most similar to ``a`` (the last one in a tie), None if ``b`` is empty."""
    best, chosen = 0.0, None
    for candidate in b:
        similarity = SequenceMatcher(None, a, candidate).ratio()
        if similarity >= best:
            best, chosen = similarity, candidate
    return chosen


def check_availability(requested: str, available: list[str]) -> None:
    """Raise a ValueError that names the nearest string, unless ``requested`` is in ``available``."""
    if requested not in available:
        nearest = get_most_similar_str_to_a_from_b(requested, available)
        raise ValueError(
            f"The requested one is expected to belong to {available}, but got [{requested}] (do you mean [{nearest}]?)"
        )


def tolist_if_not(x: Any) -> list:
    """Return ``x`` if it is a list, otherwise ``[x]``."""
    return x if isinstance(x, list) else [x]
