"""Lines that a user should see once, wherever output goes at the moment."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TextIO


def notice(line: str) -> None:
    """Print a line, once for each place that output goes to: a data set is read several times in a run.

    While a run keeps its details off the console, the line goes to its log and to standard error.
    """
    _print(line, sys.stdout)
    if getattr(sys.stdout, "quiet", False):  # runs.log.Tee
        _print(line, sys.stderr)


@lru_cache(maxsize=256)
def _print(line: str, stream: TextIO) -> None:
    print(line, file=stream, flush=True)
