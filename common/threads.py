"""How many threads a process should compute with, and how they wait for each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
SAMPLE = 0.2  # seconds in which the use of the processors is measured
# OpenMP's threads spin while they wait for each other, which makes a shared machine several times slower; these spin
# for some microseconds and then sleep. libgomp and LLVM's OpenMP read the first setting, libgomp the second, LLVM's and
# Intel's the third, all when PyTorch is imported. Without any spinning, small steps took a tenth to a fifth longer.
PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "0"}
GIVEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # with either the user decides on the number of threads


class Choice(NamedTuple):
    """A number of threads, and the reason for it."""

    number: int
    reason: str


def wait_passively() -> None:
    """Let waiting threads of OpenMP sleep soon, unless the user decided otherwise; call it before importing PyTorch."""
    if not any(name in os.environ for name in PASSIVE):
        os.environ.update(PASSIVE)


def given() -> str:
    """Return the user's own setting of the number of threads, such as "OMP_NUM_THREADS=2"; empty if there is none."""
    return next((f"{name}={os.environ[name]}" for name in GIVEN if os.environ.get(name)), "")


def processors() -> set[int] | None:
    """Return the processors that this process may use; None where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _present() -> int:
    """Return the number of processors that this process may use, whatever its quotas."""
    return len(processors() or ()) or os.cpu_count() or 1


def allowed(proc: Path = PROC, groups: Path = GROUPS) -> float:
    """Return how many processors this process may use, from its affinity and its control groups' quotas."""
    return min([float(_present()), *_quotas(proc, groups)])


def choose(most: int, share: int = 1, proc: Path = PROC, groups: Path = GROUPS) -> Choice:
    """Choose the number of threads of a process.

    Args:
        most: no more than this.
        share: number of processes that start together; what other processes use is then not measured, since it would
            be these.
    """
    may = allowed(proc, groups)
    reason = f"{_plain(may)} processor{'s' * (may != 1)}"
    if share > 1:
        return Choice(max(1, min(most, int(may // share))), f"{reason} for {share} processes")
    use = busy(proc)
    free = min(may, _present() - use)
    return Choice(max(1, min(most, round(free))), f"{reason}, of which others use {_plain(min(may, use))}")


def busy(proc: Path = PROC, seconds: float = SAMPLE) -> float:
    """Return how many of this process's processors are in use while it sleeps for a moment; 0 where it is unknown."""
    before = _ticks(proc)
    time.sleep(seconds if before else 0)
    after = _ticks(proc)
    used = 0.0
    for name in before.keys() & after.keys():
        worked, total = (end - start for start, end in zip(before[name], after[name], strict=True))
        used += worked / total if total > 0 else 0.0
    return used


def _ticks(proc: Path) -> dict[int, tuple[int, int]]:
    """Processor -> (ticks of work, ticks of work and idleness), from /proc/stat; empty where there is none."""
    mine, found = processors(), {}
    try:
        lines = (proc / "stat").read_text().splitlines()
    except OSError:
        return {}
    for name, *numbers in (line.split() for line in lines if line.startswith("cpu")):
        if name[3:].isdecimal() and (mine is None or int(name[3:]) in mine):
            ticks = [int(number) for number in numbers[:8]]  # further ones, of guests, are part of these
            found[int(name[3:])] = sum(ticks) - sum(ticks[3:5]), sum(ticks)  # idle, and idle for a disk
    return found


def _quotas(proc: Path, groups: Path) -> Iterator[float]:
    """Yield the quotas of this process's control groups, of version 2 and 1, in processors."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, inside = line.split(":", 2)
        if number != "0" and "cpu" not in kinds.split(","):
            continue
        for mount in [groups] if number == "0" else [groups / "cpu", groups / kinds]:
            # A container may show its own group as the top, and the path of the machine: both are tried.
            place = Path(inside.lstrip("/"))
            for folder in (mount / part for part in (place, *place.parents)):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota that a control group's folder sets, if it sets one."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        if int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):  # "max": no quota
        return


def _plain(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
