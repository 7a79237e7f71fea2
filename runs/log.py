"""A run's log: standard output into a file."""

from __future__ import annotations

import sys
from pathlib import Path


class Tee:
    """Standard output into a log file, and onto the console unless ``quiet``."""

    def __init__(self, path: Path, quiet: bool):
        self.console = sys.stdout
        # Line by line, so that the log of a killed run is there; closed in __exit__.
        self.file = open(path, "a", encoding="utf-8", buffering=1)
        self.quiet = quiet

    def write(self, text: str) -> int:
        if not self.quiet:
            self.console.write(text)
        return self.file.write(text)

    def flush(self) -> None:
        self.file.flush()
        self.console.flush()

    def isatty(self) -> bool:
        return False

    def __enter__(self) -> Tee:
        sys.stdout = self
        return self

    def __exit__(self, *_) -> None:
        sys.stdout = self.console
        self.file.close()
