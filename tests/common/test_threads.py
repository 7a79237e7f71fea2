"""The number of threads, from invented processors, quotas and load; OpenMP's settings before PyTorch is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import threads
from common.paths import REPOSITORY


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors, of which a process may use 0 to 3, without control groups; its /proc."""
    monkeypatch.setattr(threads, "processors", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "groups").mkdir()
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/box/inner\n")
    return tmp_path


def stat(work: list[float], at: int) -> str:
    """/proc/stat after ``at`` ticks: each processor's share of work, half of it niced; the others wait or idle."""
    lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
    for number, share in enumerate(work):
        busy = int(share * at)
        lines.append(f"cpu{number} {busy // 2} {busy - busy // 2} 0 {at - busy - at // 10} {at // 10} 0 0 0 77 77")
    return "\n".join([*lines, "intr 1 2 3"]) + "\n"


def choose(machine: Path, work: list[float], monkeypatch: pytest.MonkeyPatch, most: int = 99) -> threads.Choice:
    file = machine / "proc" / "stat"
    file.write_text(stat(work, 1000))
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: file.write_text(stat(work, 2000)))
    return threads.choose(most, proc=machine / "proc", groups=machine / "groups")


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ([0, 0, 0, 0], 4),
        ([0.1, 0.1, 0.1, 0.1], 4),
        ([0.9, 0, 0, 0], 3),
        ([0.9, 0.2, 0.7, 0], 2),
        ([0.9, 0.9, 0.9, 0.9], 1),
        ([0, 0, 0, 0, 0.9, 0.9, 0.9, 0.9], 4),  # others' processors
    ],
)
def test_what_others_use_is_left_to_them(
    machine: Path, monkeypatch: pytest.MonkeyPatch, work: list[float], expected: int
) -> None:
    choice = choose(machine, work, monkeypatch)
    assert choice.number == expected
    assert f"4 processors, of which others use {sum(work[:4]):.1f}".removesuffix(".0") == choice.reason


def test_never_more_than_asked_for(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(machine, [0, 0, 0, 0], monkeypatch, most=2).number == 2


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"box/inner/cpu.max": "150000 100000\n"}, 1.5),
        ({"box/inner/cpu.max": "max 100000\n", "box/cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "200000 100000\n"}, 2),  # a container that sees its group as the top
        ({"box/inner/cpu.max": "max 100000\n"}, 4),
        ({"box/inner/cpu.max": "1600000 100000\n"}, 4),
        ({"box/inner/cpu.max": "damaged\n"}, 4),
    ],
)
def test_quotas_of_control_groups(machine: Path, files: dict[str, str], processors: float) -> None:
    for name, text in files.items():
        (machine / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / "groups" / name).write_text(text)
    assert threads.allowed(machine / "proc", machine / "groups") == processors


@pytest.mark.parametrize(("quota", "processors"), [("250000", 2.5), ("-1", 4)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quotas_of_the_first_version(machine: Path, quota: str, processors: float, mount: str) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("4:memory:/x\n3:cpu,cpuacct:/docker/1234\n0::/\n")
    folder = machine / "groups" / mount
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert threads.allowed(machine / "proc", machine / "groups") == processors


def test_a_quota_limits_what_is_free(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's other processors may be busy with other containers, which does not use up a quota."""
    (machine / "groups" / "cpu.max").write_text("200000 100000\n")
    assert choose(machine, [0.9, 0.9, 0, 0], monkeypatch).number == 2
    assert choose(machine, [0.9, 0.9, 0.9, 0], monkeypatch).number == 1
    (machine / "groups" / "cpu.max").write_text("40000 100000\n")
    assert choose(machine, [0, 0, 0, 0], monkeypatch) == (1, "0.4 processors, of which others use 0")


def test_a_system_without_proc(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "processors", lambda: None)
    choice = threads.choose(99, proc=machine / "nowhere", groups=machine / "nowhere")
    assert choice == (8, "8 processors, of which others use 0")


def test_processes_that_start_together_share(machine: Path) -> None:
    shares = [threads.choose(99, share, machine / "proc", machine / "groups").number for share in (2, 3, 4, 5)]
    assert shares == [2, 1, 1, 1]


def test_here() -> None:
    assert 1 <= threads.choose(10_000).number <= (os.cpu_count() or 1)
    assert threads.choose(1).number == 1


def test_the_users_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.GIVEN:
        monkeypatch.delenv(name, raising=False)
    assert threads.given() == ""
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert threads.given() == "MKL_NUM_THREADS=3"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads.given() == "OMP_NUM_THREADS=2"


# Runs an entry point as a script with a finder that tells the settings when PyTorch is imported, and ends there.
WATCH = """
import os, runpy, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
            print("torch:", *(os.environ.get(name) for name in names), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Finder())
sys.argv = sys.argv[1:]
sys.path.insert(0, os.getcwd())
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LAUNCH = ["launch.py", "softcpt", "garden8", "4", "--seeds", "1"]
TRAIN = ["train.py", "--trainer", "SoftCPT"]


@pytest.mark.parametrize("command", [LAUNCH, TRAIN], ids=["launch", "train"])
@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "passive 20000 0"), ({"OMP_WAIT_POLICY": "active"}, "active None None")],
    ids=["ours", "the user's"],
)
def test_threads_are_told_to_sleep_before_pytorch_is_imported(
    tmp_path: Path, command: list[str], own: dict[str, str], expected: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in threads.PASSIVE} | own
    if command is LAUNCH:
        command = [*command, "--output", str(tmp_path / "output"), "--data", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1:] == [f"torch: {expected}"], done.stderr
