"""The frame of every command line: arguments, errors in one line, Ctrl-C, a reader that has gone away."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from common.errors import InputError, of_system
from common.paths import expanded
from common.text import one_line
from runs.results import RunError

# Exit statuses beside 0.
FAILED, BAD_INPUT, INTERRUPTED, NOBODY_READS = 1, 2, 130, 141


class OneLineParser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage."""

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)  # argparse's own ignores that nobody reads

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}; --help shows how to call this.")


def parser(program: str, about: str | None, examples: Sequence[str], epilog: str = "") -> OneLineParser:
    """A parser without arguments, whose help ends in examples."""
    listed = "\n".join(f"  {example}" for example in examples)
    return OneLineParser(
        prog=program,
        description=about,
        epilog=f"{epilog}example{'s' * (len(examples) != 1)}:\n{listed}" if examples else epilog or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def path(text: str | Path) -> Path:
    """A path from a command line; ~ is the home folder."""
    return expanded(text)


def run(answer: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """A command line's exit status.

    That of ``answer(argv)``; 2 for bad input, and 1 for an error of the operating system such as a full disk, each
    reported in one line on standard error; 130 after Ctrl-C; 141 if nobody reads standard output any more, as after
    ``| head``.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without ± must not end a command
            stream.reconfigure(errors="replace")
    try:
        status = answer(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a reader that has gone away is noticed quietly
        return status
    except (InputError, RunError) as error:
        print(one_line(error), file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nInterrupted; the same command continues where it stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return NOBODY_READS
    except OSError as error:
        if error.errno is None:  # not the system's: a mistake in the code
            raise
        print(one_line(of_system(error, "the disk, or where the output goes")), file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()
        return FAILED


def once(work: Callable[[], int], script: str) -> int:
    """The exit status of work that Ctrl-C ends for good: the same command would begin anew.

    Raises:
        InputError: Python lacks a module, which ``script`` installs.
    """
    try:
        return work()
    except ModuleNotFoundError as error:
        raise not_installed(error, script) from error
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED


def _forget_output() -> None:
    """What is still to be flushed would end in another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def not_installed(error: ModuleNotFoundError, script: str) -> InputError:
    """The message for a Python that lacks a module: what to call instead."""
    return InputError(f"Python has no module '{error.name}'; call bash {script}, which installs what is needed.")
