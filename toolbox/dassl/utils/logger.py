"""Copies standard output to a log file."""

from __future__ import annotations

import os
import os.path as osp
import sys
import time
from typing import Any, TextIO

from .tools import mkdir_if_missing

__all__ = ["Logger", "setup_logger"]


class Logger:
    """A text stream that writes to the console and to a file.

    It replaces ``sys.stdout`` until ``close()`` restores it, so one process can do several runs, each with its own log.
    As a context manager it closes itself.

    Args:
        fpath: the log file; its folder is created, an existing file is overwritten. None: no file.
        console: also write to the console.
    """

    def __init__(self, fpath: str | None = None, console: bool = True) -> None:
        self.console: TextIO = sys.stdout
        self.file: TextIO | None = None
        self._to_console = console
        self._closed = False
        if fpath is not None:
            mkdir_if_missing(osp.dirname(fpath))
            # Line buffered: the log of a killed run ends with the last line it printed.
            self.file = open(fpath, "w", encoding="utf-8", buffering=1)

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        # isatty, encoding, fileno ...: everything that this class does not define comes from the console.
        if name == "console":
            raise AttributeError(name)
        return getattr(self.console, name)

    @property
    def closed(self) -> bool:
        """True if the console is closed; a closed Logger still writes to its console."""
        return self.console.closed

    def write(self, msg: str) -> int:
        """Write ``msg`` to console and file; return the number of characters."""
        if self._to_console or self._closed:
            self.console.write(msg)
        if self.file is not None:
            self.file.write(msg)
        return len(msg)

    def flush(self) -> None:
        """Flush both."""
        self.console.flush()
        if self.file is not None:
            self.file.flush()

    def close(self) -> None:
        """Close the file and restore ``sys.stdout``, if it is still this Logger. May be called twice."""
        self._closed = True
        if self.file is not None:
            self.file.close()
            self.file = None
        if sys.stdout is self:
            sys.stdout = self.console


def setup_logger(output: str | os.PathLike | None = None, console: bool = True) -> Logger | None:
    """Copy everything printed from now on to a log file; return the Logger that does it (None without ``output``).

    Args:
        output: a folder, for the file ``log.txt`` in it, or a file name ending in ``.txt`` or ``.log``. An existing
            file is kept: the new one gets a time stamp after its name.
        console: False writes to the file only.
    """
    if output is None:
        return None
    output = os.fspath(output)
    requested = output if output.endswith((".txt", ".log")) else osp.join(output, "log.txt")
    fpath = requested
    if osp.exists(requested):
        stamped = fpath = requested + time.strftime("-%Y-%m-%d-%H-%M-%S")
        copies = 1
        while osp.exists(fpath):  # several runs started within a second
            copies += 1
            fpath = f"{stamped}-{copies}"
    logger = Logger(fpath, console)
    sys.stdout = logger
    return logger
