"""The soak itself: it finds what it looks for, and a short one finds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.paths import REPOSITORY
from tests.soak import __main__ as soak
from tests.soak import damage, inputs, sandbox
from tests.soak.sandbox import Harm, Outcome, run


def outcome(status: int = 0, out: str = "", err: str = "", hung: bool = False) -> Outcome:
    return Outcome(status, out, err, 1.0, hung)


@pytest.mark.parametrize(
    ("ending", "column"),
    [
        (outcome(2, err="kinds.json is damaged; remove it."), "one line"),
        (outcome(2, err="something is wrong"), "unclear"),
        (outcome(2, err="kinds.json" + "x" * 1000), "unclear"),
        (outcome(70, err="Traceback (most recent call last):\n  kinds.json\nKeyError: 3"), "tracebacks"),
        (outcome(0, err="Exception in thread Writer:\n kinds.json"), "tracebacks"),
        (outcome(-11), "tracebacks"),
        (outcome(-9, hung=True), "hangs"),
        (outcome(0, out="kinds.json is drawn again"), "one line"),
        (outcome(0), "silent"),
    ],
)
def test_every_ending_has_its_column(tmp_path: Path, ending: Outcome, column: str) -> None:
    world: Any = SimpleNamespace(folder=tmp_path, data=tmp_path / "data")
    one: Any = SimpleNamespace(world=world, right={"CoOp": [("kind", 50.0)]}, report="")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "results.json").write_text('{"tasks": [{"name": "kind", "accuracy": 40.0}]}')
    case = inputs.Case("bits flipped", tmp_path / "kinds.json", lambda: 0, tmp_path / "new")
    assert soak.Soak._judge(one, "splits", case, ending) == column
    one.right["CoOp"] = [("kind", 40.0)]
    if column == "silent":
        assert soak.Soak._judge(one, "splits", case, ending) == "identical"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "escaped.txt").write_text("")
    assert soak.Soak._judge(one, "splits", case, outcome(2, err="kinds.json is damaged")) == "silent"


def test_a_command_is_killed_starved_or_stopped(tmp_path: Path) -> None:
    file = tmp_path / "file"

    def write() -> int:
        print("before")
        for number in range(5):
            file.with_name(f"file{number}").write_bytes(b"x" * 1000)
        return 3

    def wait() -> int:
        time.sleep(60)
        return 0

    def eat() -> int:
        return len(bytes(sandbox.MEMORY_BYTES * 2))

    plain = run(write)
    assert (plain.status, plain.out, plain.hung) == (3, "before\n", False)
    killed = run(write, Harm(kill_at=3, folder=str(tmp_path)))
    assert killed.status == -signal.SIGKILL and not killed.traceback
    failed = run(write, Harm(fail_at=2, folder=str(tmp_path)))
    assert failed.status == 70 and "No space left" in failed.last_line and failed.traceback
    assert "too large" in run(write, Harm(largest_file=500)).last_line
    assert run(wait, Harm(kill_after=0.2)).status == -signal.SIGKILL
    assert run(wait, limit=0.2).hung
    assert "MemoryError" in run(eat).last_line


def test_damage_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    import random

    ways = {}
    for seed in range(60):
        texts = []
        for again in range(2):
            path = tmp_path / f"{seed}_{again}.json"
            path.write_text('{"train": [["a.jpg", 0], ["b.jpg", 1]], "seed": 3}')
            what = damage.json_damaged(path, random.Random(seed))
            texts.append((what, path.read_bytes() if path.is_file() and not path.is_symlink() else what))
        assert texts[0] == texts[1]
        ways[texts[0][0]] = True
    assert len(ways) > 12


def test_a_short_soak_finds_nothing() -> None:
    words = [
        "--inputs",
        "24",
        "--kills",
        "3",
        "--writes",
        "3",
        "--seed",
        "5",
        "--jobs",
        str(min(2, os.cpu_count() or 1)),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].split()[:2] == ["all", "30"]
