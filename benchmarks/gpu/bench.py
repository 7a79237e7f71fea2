"""What the sections share: rows of JSON, time budgets, errors that do not stop the others, timing on the device."""

from __future__ import annotations

import contextlib
import io
import json
import math
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DIGITS = 5
SHOWN = 18  # characters of a value in the table


class OutOfTime(Exception):
    """A section takes far longer than planned."""


class Broken(Exception):
    """The GPU refuses all further work in this process."""


def where(error: BaseException) -> dict[str, Any]:
    """Return the columns of a row that failed: the error in one line, and the innermost places in this repository."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    places = [f"{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno}" for f in frames[-4:]]
    return {"ok": False, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}", "at": places}


def rounded(value: Any) -> Any:
    """Return a value for JSON: numbers with few digits, NaN and infinities as text."""
    if isinstance(value, bool) or value is None or isinstance(value, int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): rounded(part) for key, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else str(value)


@dataclass
class Bench:
    """One call of the benchmark.

    device: "cuda", or "cpu" in a dry run. only: part of the names of the rows to make. budget: seconds in all.
    """

    device: str
    budget: float
    folder: Path
    only: str = ""
    began: float = field(default_factory=time.monotonic)
    output: TextIO = field(default_factory=lambda: sys.stdout)
    rows: list[dict[str, Any]] = field(default_factory=list)
    section: str = ""
    until: float = math.inf  # when the section should finish, by time.monotonic()

    @property
    def dry(self) -> bool:
        return self.device == "cpu"

    @property
    def spent(self) -> float:
        return time.monotonic() - self.began

    def left(self) -> float:
        """Return the seconds that the section has left."""
        return min(self.until, self.began + self.budget) - time.monotonic()

    def wanted(self, name: str) -> bool:
        return self.only.lower() in name.lower()

    def row(self, **values: Any) -> None:
        """Print one row of the current section."""
        values = rounded({"section": self.section, **values})
        self.rows.append(values)
        print(json.dumps(values), file=self.output, flush=True)

    @contextlib.contextmanager
    def making(self, needs: float = 0, **about: Any) -> Iterator[dict[str, Any] | None]:
        """Make one row: yield the dict to fill, then print it; None if fewer than ``needs`` seconds are left.

        An error becomes the row's columns "error" and "at". Raises Broken if the GPU is of no more use.
        """
        name = " ".join(map(str, about.values()))
        if not self.wanted(name):
            yield None
            return
        if self.left() < needs:
            self.row(**about, skipped=f"{max(self.left(), 0):.0f} s left, {needs:.0f} s needed")
            yield None
            return
        row: dict[str, Any] = {}
        began = time.monotonic()
        try:
            with quiet():
                yield row
        except Exception as error:
            row.update(where(error))
        self.row(**{**about, **row, "seconds": time.monotonic() - began})
        if "error" in row:
            self.check_alive()

    @contextlib.contextmanager
    def in_section(self, name: str, cap: float) -> Iterator[None]:
        """Run a section for about ``cap`` seconds, and report the error that ends it early."""
        began = time.monotonic()
        self.section, self.until = name, min(began + cap, self.began + self.budget)
        try:
            with alarm(self.left() + 8):
                yield
        except Broken:
            raise
        except Exception as error:
            self.row(**where(error))
        finally:
            self.free()

    def check_alive(self) -> None:
        """Raise Broken if the GPU no longer computes, as after an illegal memory access."""
        if self.dry:
            return
        self.free()
        try:
            torch.zeros(1, device=self.device).add_(1).item()
        except Exception as error:
            raise Broken(str(error)) from error

    def free(self) -> None:
        if not self.dry:
            with contextlib.suppress(Exception):
                torch.cuda.empty_cache()

    def wait(self) -> None:
        """Wait for the GPU."""
        if not self.dry:
            torch.cuda.synchronize()

    def timed(
        self, work: Callable[[], object], rounds: int = 15, warm: int = 3, most: float = 2
    ) -> tuple[float, float]:
        """Return (median milliseconds, GiB of memory at the peak beyond what was in use before).

        By CUDA events; in a dry run by the CPU's clock, and the memory is NaN. No round begins after ``most`` seconds.
        """
        for _ in range(1 if self.dry else warm):
            work()
        self.wait()
        before = 0
        if not self.dry:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        times: list[float] = []
        began = time.monotonic()
        while not times or (len(times) < rounds and time.monotonic() - began < min(most, self.left())):
            times.append(self.once(work))
        peak = math.nan if self.dry else (torch.cuda.max_memory_allocated() - before) / (1 << 30)
        return statistics.median(times), peak

    def once(self, work: Callable[[], object]) -> float:
        """Return the milliseconds of one call."""
        if self.dry:
            start = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - start)
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what trainers print off the console."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the body after ``seconds``, and again every 10 s, where the system can."""

    def ring(*_: object) -> None:
        raise OutOfTime(f"this takes more than {seconds:.0f} s")

    try:
        before = signal.signal(signal.SIGALRM, ring)
    except (AttributeError, ValueError):  # Windows, or not the main thread
        yield
        return
    outer = signal.setitimer(signal.ITIMER_REAL, max(1, seconds), 10)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *outer)


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned text, a table for each kind of row; lists and dicts are left to the JSON lines."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(tuple(list(row)[1:2] if row["section"] != "total" else ()) + (row["section"],), []).append(row)
    lines: list[str] = []
    for (*_, section), mine in kinds.items():
        lines += ["", f"== {section}"]
        if len(mine) == 1:
            lines += [f"{key}: {value}" for key, value in mine[0].items() if key != "section"]
            continue
        columns = list(dict.fromkeys(k for row in mine for k, v in row.items() if not isinstance(v, list | dict)))
        columns = [c for c in columns if c not in ("section", "error", "skipped")]
        cells = [columns] + [[_cell(row.get(c)) for c in columns] for row in mine]
        notes = ["", *(str(row.get("error") or row.get("skipped") or "") for row in mine)]
        widths = [max(len(line[c]) for line in cells) for c in range(len(columns))]
        for line, note in zip(cells, notes, strict=True):
            padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            lines.append(f"{padded}  {note}".rstrip())
    return "\n".join(lines[1:]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if len(str(value)) <= SHOWN else f"{str(value)[: SHOWN - 1]}~"
