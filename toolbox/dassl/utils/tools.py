"""Files, images, seeds, names."""

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
    """Make the folder and its parents unless it exists; an empty name means the current folder."""
    if dirname:
        os.makedirs(dirname, exist_ok=True)


def check_isfile(fpath: str) -> bool:
    """Whether ``fpath`` is a file; warns when it is not."""
    found = osp.isfile(fpath)
    if not found:
        warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return found


def read_json(fpath: str) -> Any:
    """The content of a JSON file."""
    with open(fpath, encoding="utf-8") as file:
        return json.load(file)


def write_json(obj: Any, fpath: str) -> None:
    """Write ``obj`` as indented JSON; the folder is made, and a file is there only when it is complete."""
    with atomic_path(fpath) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(obj, file, indent=4, separators=(",", ": "))


@contextmanager
def atomic_path(fpath: str) -> Iterator[str]:
    """A temporary path beside ``fpath`` that takes its place when the block ends well, and vanishes when it does not.

    Whatever happens, ``fpath`` holds either its old content or all of the new one.
    """
    folder = osp.dirname(fpath)
    mkdir_if_missing(folder)
    handle, partial = tempfile.mkstemp(prefix=f".{osp.basename(fpath)}.", suffix=".part", dir=folder or ".")
    os.close(handle)
    try:
        yield partial
        # mkstemp makes files for the owner's eyes only; a result gets what an ordinary open() would have given.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        with open(partial, "r+b") as file:  # on disk before the name points to it
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
    """Fetch ``url`` into the file ``dst``, with a progress line on a terminal; a broken download leaves no file."""
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
        # A data loader's worker hands its error on as type and formatted traceback. Keep the line that says it.
        if message.startswith("Caught ") and "\n" in message:
            message = message.strip().splitlines()[-1].partition(": ")[2]
        super().__init__(message)


def read_image(path: str) -> Image.Image:
    """The image at ``path``, decoded, as RGB. The file is closed again.

    Raises:
        FileNotFoundError: no such file.
        BrokenImageError: an ``OSError`` whose message names the path, when it cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # Pillow raises nearly everything, depending on format and damage
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(f"Image {path} cannot be read ({reason}); replace it or take it out") from error


def collect_env_info() -> str:
    """Versions, processor, GPUs: what a log should say about where it was made. One fact a line."""
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
    """Names in the folder ``path`` that do not start with a dot, sorted on demand."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names


def get_most_similar_str_to_a_from_b(a: str, b: Iterable[str]) -> str | None:
    """The string of ``b`` most like ``a`` (the last of equals), None when ``b`` is empty."""
    best, chosen = 0.0, None
    for candidate in b:
        similarity = SequenceMatcher(None, a, candidate).ratio()
        if similarity >= best:
            best, chosen = similarity, candidate
    return chosen


def check_availability(requested: str, available: list[str]) -> None:
    """ValueError that names the nearest known string, unless ``requested`` is one of ``available``."""
    if requested not in available:
        nearest = get_most_similar_str_to_a_from_b(requested, available)
        raise ValueError(
            f"The requested one is expected to belong to {available}, but got [{requested}] (do you mean [{nearest}]?)"
        )


def tolist_if_not(x: Any) -> list:
    """``x`` itself if it is a list, else a list of it alone."""
    return x if isinstance(x, list) else [x]
