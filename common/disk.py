"""Files that a killed process leaves half-written, and those that are written in place of others."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to: what is written there takes the place of ``path`` at the end.

    For files that are not text; `common.files.write_atomically` writes text. After an error nothing is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        if left and path.is_file() and not path.is_symlink() and _ended(int(left.group(1))):
            with contextlib.suppress(OSError):
                path.unlink()


def _ended(process: int) -> bool:
    """True if there is no process of this number, or it is this one, which has not written anything yet."""
    if process == os.getpid():
        return True
    if os.name != "posix":
        return False  # there, a signal would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False
