"""A run's log: standard output into a file."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

from common.text import printable


class Tee:
    """Standard output into a log file, and onto the console unless ``quiet``.

    Names of tasks and classes are printed, so control characters are left out.
    """

    def __init__(self, path: Path, quiet: bool):
        self.console = sys.stdout
        # Line by line, so that the log of a killed run is there; closed in __exit__.
        self.path, self.file = path, open(path, "a", encoding="utf-8", buffering=1)
        self.quiet = quiet

    def write(self, text: str) -> int:
        shown = "".join(part if part in "\t\r" else printable(part) for part in re.split("([\t\r])", text))
        shown = shown.encode("utf-8", "replace").decode("utf-8")  # file names may have surrogates
        if not self.quiet:
            self.console.write(shown)
        try:
            self.file.write(shown)
        except OSError as error:
            raise self._named(error) from None
        return len(text)

    def flush(self) -> None:
        try:
            self.file.flush()
        except OSError as error:
            raise self._named(error) from None
        self.console.flush()

    def _named(self, error: OSError) -> OSError:
        """An error of a write, with the path, which it does not have."""
        return OSError(error.errno, error.strerror, str(self.path))

    def isatty(self) -> bool:
        return False

    def __enter__(self) -> Tee:
        sys.stdout = self
        return self

    def __exit__(self, *_) -> None:
        sys.stdout = self.console
        with contextlib.suppress(OSError):  # of a line that could not be written before
            self.file.close()
