"""What killed processes leave half-written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed processes left of the files called ``names``: their temporary files, ".<name>.<process>".

    Those of a process that runs are kept, and so is everything else in the folder.
    """
    try:
        found = os.listdir(folder)
    except OSError:
        return
    known = "|".join(map(re.escape, names))
    for name in found:
        left = re.fullmatch(rf"\.(?:{known})\.([1-9][0-9]{{0,9}})", name)
        path = folder / name
        if left is None or not path.is_file() or path.is_symlink():
            continue
        process = int(left.group(1))
        if process == os.getpid() or ended(process):  # this one has not written anything yet
            with contextlib.suppress(OSError):
                path.unlink()


def ended(process: int) -> bool:
    """True if this host has no process of this number; False where that cannot be found out."""
    if os.name != "posix":
        return False  # on Windows, a signal would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False
