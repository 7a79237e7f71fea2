"""Tables in several processes: their output, GPUs, failures, and their end; in a clone whose runs are invented."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from launcher.tables import local
from launcher.tables.main import default_processes
from tests.support.launching import start

TWO = ["--methods", "ZeroshotCLIP,SoftCPT-NATA"]
FOUR = ["--methods", "CoOp-CA,SoftCPT-NATA", "--shots", "4", "--seeds", "1,2", "--jobs", "2"]


def test_an_ignored_signal_stays_ignored() -> None:
    """nohup ignores SIGHUP, so that runs survive the end of the terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with local.ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_processes(clone: Path) -> None:
    words = ["table", "garden8", *TWO, "--shots", "1,4", "--seeds", "1,2", "--jobs", "2"]
    process = start(clone, *words, "--", "FAKE.FAIL", "2")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    begun = [line for line in out.splitlines() if "/5] " in line]
    assert {line[:4] for line in begun} == {"1 | ", "2 | "} and len(begun) == 5
    assert err.count("Failed: ") == 2 and "2 of 5 runs are not finished" in err
    assert "(1 of 2 seeds)" in out


def test_a_process_that_dies_loses_one_run(clone: Path) -> None:
    process = start(clone, "table", "garden8", *FOUR, "--", "FAKE.DIE", "2")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("killed by signal 9 (too little memory?)") == 2 and "log.txt: log" in err
    assert "2 of 4 runs are not finished" in err


def test_a_run_that_failed_before_its_process_died_keeps_its_own_reason(clone: Path) -> None:
    process = start(clone, "table", "garden8", *FOUR, "--", "FAKE.FAIL", "1", "FAKE.KILL", "SoftCPT")
    _, err = process.communicate(timeout=60)
    first = next(line for line in err.splitlines() if line.startswith("Failed: CoOp-CA on garden8, 4 shots, seed 1"))
    assert "it did not finish; later its process was killed" in first and "traceback.txt" in first


def test_an_interrupted_pool_leaves_no_process(clone: Path) -> None:
    words = ["table", "garden8", "--methods", "SoftCPT-NATA", "--shots", "4", "--jobs", "2"]
    process = start(clone, *words, "--", "FAKE.SLEEP", "60")
    assert process.stdout is not None
    pids: list[int] = []
    while len(pids) < 2:
        line = process.stdout.readline()
        assert line
        pids += [int(line.split()[-1])] if "| pid" in line else []
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "the same command continues where it stopped" in err
    for pid in pids:
        for _ in range(50):
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"{pid} still runs")


def test_what_all_processes_refuse_is_reported_once(clone: Path) -> None:
    words = ["--methods", "SoftCPT-NATA", "--shots", "1,4", "--seeds", "1", "--jobs", "2"]
    process = start(clone, "table", "garden8", *words, "--", "FAKE.BAD", "1")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "Image x.jpg is corrupt; replace it.\n")


def test_processes_take_turns_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert local.visible_gpus() == ["3", "5"]
    assert [local.environment(n, 3, ["3", "5"])["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["3", "5", "3"]
    assert default_processes() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local.visible_gpus() == [] and default_processes() == 1
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert int(local.environment(0, 10_000, [])["OMP_NUM_THREADS"]) == 1
