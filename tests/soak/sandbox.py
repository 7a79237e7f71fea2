"""Runs a command line in a forked process, which can be killed, starved of disk or stopped after a time."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

LIMIT_SECONDS = 90.0  # the slowest of these commands takes some seconds
MEMORY_BYTES = 6 << 30
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}

Command = Callable[[], int]


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status (negative: a signal), what it printed, and whether it was stopped."""

    status: int
    out: str
    err: str
    seconds: float
    hung: bool

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.text or "Exception in thread" in self.text

    @property
    def last_line(self) -> str:
        """The last line on standard error, or else on standard output."""
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip()]
        return lines[-1] if lines else ""


@dataclass(frozen=True)
class Harm:
    """What happens to a command: killed after a time or at a write, or writes that fail.

    Args:
        kill_after: seconds.
        kill_at: number of the operation that changes files, from 1.
        fail_at: that operation and those after it end with "No space left on device".
        largest_file: bytes; a write beyond them fails.
        folder: operations below it count.
    """

    kill_after: float | None = None
    kill_at: int | None = None
    fail_at: int | None = None
    largest_file: int | None = None
    folder: str = ""


def run(command: Command, harm: Harm | None = None, limit: float = LIMIT_SECONDS) -> Outcome:
    """Run a command in a forked process, which may use MEMORY_BYTES."""
    harm = harm or Harm()
    pipes = [os.pipe() for _ in range(2)]  # not files: `Harm.largest_file` would cut them too
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _in_child(command, [write for _, write in pipes], harm)
    for read, write in pipes:
        os.close(write)
        os.set_blocking(read, False)
    texts = [bytearray(), bytearray()]
    hung, status = False, None
    while status is None:
        done, code = os.waitpid(child, os.WNOHANG)
        spent = time.monotonic() - began
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif spent > limit or (harm.kill_after is not None and spent > harm.kill_after):
            hung = spent > limit
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        else:
            time.sleep(0.005)
        for (read, _), text in zip(pipes, texts, strict=True):
            _drain(read, text)
    for read, _ in pipes:
        os.close(read)
    out, err = (text.decode("utf-8", errors="replace") for text in texts)
    return Outcome(status, out, err, time.monotonic() - began, hung)


def _drain(handle: int, text: bytearray) -> None:
    with contextlib.suppress(BlockingIOError):
        while part := os.read(handle, 1 << 16):
            text += part


def _in_child(command: Command, streams: list[int], harm: Harm) -> None:
    status = 70
    try:
        os.setsid()
        for number, handle in enumerate(streams, 1):
            os.dup2(handle, number)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        if harm.largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (harm.largest_file, resource.RLIM_INFINITY))
        if harm.kill_at or harm.fail_at:
            sys.addaudithook(_hook(harm))
        status = command()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _hook(harm: Harm) -> Callable[[str, tuple], None]:
    count = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event not in WRITES or not args:
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        path = os.fsdecode(args[0]) if isinstance(args[0], (str, bytes, os.PathLike)) else ""
        if not os.path.abspath(path).startswith(harm.folder):
            return
        count += 1
        if harm.kill_at is not None and count >= harm.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if harm.fail_at is not None and count >= harm.fail_at and event not in ("os.remove", "os.rmdir"):
            raise OSError(28, "No space left on device", path)

    return hook
