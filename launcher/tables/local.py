"""Runs chains on this machine: in this process, or in several at once, one per visible GPU."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from common import threads
from common.errors import InputError
from launcher.execution import REFUSED as KIND_REFUSED
from launcher.execution import Failure
from launcher.tables.chains import Chain, died, failures_from_text, longest_first, run_chain, to_text
from launcher.tables.worker import COMMAND, ENDED, REFUSED

GRACE = 10  # seconds that a process has to end on its own


def visible_gpus() -> list[str]:
    """The GPUs that processes may use, as CUDA_VISIBLE_DEVICES names them; without PyTorch, which takes seconds."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [] if done.returncode else done.stdout.splitlines()
    return [line.strip() for line in lines if line.strip().isdecimal()]


def environment(number: int, count: int, gpus: Sequence[str]) -> dict[str, str]:
    """The environment of process ``number`` of ``count``: a GPU, or its share of the processors."""
    own = dict(os.environ, PYTHONUNBUFFERED="1")
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    if count > 1:  # one alone chooses for itself, when its runs begin
        own.setdefault("OMP_NUM_THREADS", str(threads.choose(os.cpu_count() or 1, share=count).number))
    return own


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end this process as Ctrl-C does, so that it can end those that it started.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored.
    """

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    kinds = [kind for kind in kinds if signal.getsignal(kind) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        kinds = []
    before = {kind: signal.signal(kind, interrupt) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def run_locally(chains: Sequence[Chain], count: int, alone: bool) -> list[Failure]:
    """Run chains in ``count`` processes and return what failed.

    InputError if the first chain to end is refused as a whole and the reason concerns all: ``alone`` says that there is
    one config and that nothing was finished before.
    """
    with ended_by_signals():
        if count > 1 and len(chains) > 1:
            return Pool(longest_first(chains), min(count, len(chains)), alone).run()
        failures: list[Failure] = []
        for number, chain in enumerate(chains):
            try:
                failures += run_chain(chain)
            except InputError as error:
                if alone and number == 0:
                    raise
                failures += refused(chain, str(error))
        return failures


def refused(chain: Chain, reason: str) -> list[Failure]:
    return [Failure(job, reason, kind=KIND_REFUSED) for job in chain.jobs]


@dataclass
class Pool:
    """Worker processes that get one chain after the other; a thread for each passes on its output."""

    chains: list[Chain]
    count: int
    alone: bool
    failures: list[Failure] = field(default_factory=list)
    ended: int = 0  # chains that ended
    stop: str = ""  # what the user has to fix before anything can run
    closing: bool = False
    processes: dict[int, subprocess.Popen] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> list[Failure]:
        """Runs all chains; ends every process at the end, however it comes."""
        gpus = visible_gpus()
        self.chains.reverse()  # taken from the end
        threads = [threading.Thread(target=self.thread, args=(n, gpus), daemon=True) for n in range(self.count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive() and not self.stop:  # a wait without a limit would not be interrupted everywhere
                    thread.join(0.5)
        finally:
            self.close()
        if self.stop:
            raise InputError(self.stop)
        return self.failures

    def thread(self, number: int, gpus: Sequence[str]) -> None:
        """Serve worker ``number``; an InputError ends all workers."""
        try:
            self.attend(number, gpus)
        except InputError as error:
            with self.lock:
                self.stop = self.stop or str(error)

    def attend(self, number: int, gpus: Sequence[str]) -> None:
        """Give worker ``number`` chains while there are any, in a new process after one has died."""
        process = None
        while (chain := self.take()) is not None:
            if process is None:
                process = self.start(number, gpus)
                if process is None:
                    return
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has died, which is noticed below
                process.stdin.write(to_text(chain) + "\n")
                process.stdin.flush()
            ended, at = self.listen(number, process, chain)
            if not ended:
                failures, left = died(chain, at, process.wait())
                process = None
                with self.lock:
                    if not self.closing:
                        self.failures += failures
                        self.chains += [left] if left else []
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()

    def start(self, number: int, gpus: Sequence[str]) -> subprocess.Popen | None:
        with self.lock:
            if self.closing:
                return None
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others and their loaders.
            self.processes[number] = subprocess.Popen(
                [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, encoding="utf-8", errors="replace", env=environment(number, self.count, gpus),
                start_new_session=True,
            )  # fmt: skip
            return self.processes[number]

    def take(self) -> Chain | None:
        with self.lock:
            return None if self.closing or self.stop or not self.chains else self.chains.pop()

    def listen(self, number: int, process: subprocess.Popen, chain: Chain) -> tuple[bool, int | None]:
        """Pass on a worker's output; returns whether the chain ended, and the number of its last run."""
        at = None
        for line in process.stdout or ():
            line = line.rstrip("\r\n")
            if line.startswith((ENDED, REFUSED)):
                self.note(chain, line)
                return True, at
            begins = re.match(rf"\[(\d+)/{chain.count}\] ", line)
            at = int(begins.group(1)) if begins and int(begins.group(1)) in chain.numbers else at
            if line:
                with self.lock:  # print writes the line and its end apart
                    print(f"{number + 1} | {line}", flush=True)
        return False, at

    def note(self, chain: Chain, line: str) -> None:
        with self.lock:
            if line.startswith(ENDED):
                self.failures += failures_from_text(chain, line.removeprefix(ENDED))
            elif self.alone and not self.ended:
                self.stop = line.removeprefix(REFUSED)
            else:
                self.failures += refused(chain, line.removeprefix(REFUSED))
            self.ended += 1

    def close(self) -> None:
        """Ends every process that still runs, and what it has started."""
        with self.lock:
            self.closing = True
        running = [process for process in self.processes.values() if process.poll() is None]
        for process in running:
            _end(process)
        for process in running:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                _end(process, forcibly=True)
                process.wait()


def _end(process: subprocess.Popen, forcibly: bool = False) -> None:
    """Ends a process and, where a system has sessions, what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL if forcibly else signal.SIGTERM)
        elif forcibly:
            process.kill()
        else:
            process.terminate()
