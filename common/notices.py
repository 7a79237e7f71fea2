"""Lines that a user should see once, wherever output goes at the moment."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TextIO

from common.text import printable


def notice(line: str) -> None:
    """Print a line on standard error, and into the log of a run if one is going on; once for each of these places,
    since a data set is read several times in a run."""
    quiet = getattr(sys.stdout, "quiet", None)  # runs.log.Tee: whether a run keeps its details off the console
    if quiet is not None:
        _print(line, sys.stdout)
    if quiet is not False:
        _print(line, sys.stderr)


@lru_cache(maxsize=256)
def _print(line: str, stream: TextIO) -> None:
    print(printable(line), file=stream, flush=True)
