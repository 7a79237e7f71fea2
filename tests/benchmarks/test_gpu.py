"""benchmarks.gpu without a GPU: a dry run, its branches for CUDA on the CPU, budgets, and errors that stop nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import about, methods, pictures, steps, text
from benchmarks.gpu.bench import Bench, OutOfTime, alarm, table
from benchmarks.gpu.lab import TINY_RESNET, tasks_of
from common.catalogue import METHODS
from common.paths import REPOSITORY

FEW = ("ZeroshotCLIP", "SoftCPT-NATA", "CLIP-LoRA")


class PretendCuda(Bench):
    """Takes the branches for CUDA, on the CPU."""

    @property
    def dry(self) -> bool:
        return False


class Event:
    """CUDA's, by the CPU's clock."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, other: Event) -> float:
        return 1e3 * (other.at - self.at)


def bench_in(folder: Path, kind: type[Bench] = Bench, budget: float = 1000, **kwargs: Any) -> Bench:
    return kind("cpu", budget, folder, output=io.StringIO(), **kwargs)


def printed(bench: Bench) -> list[dict[str, Any]]:
    assert isinstance(bench.output, io.StringIO)
    return [json.loads(line) for line in bench.output.getvalue().splitlines()]


@pytest.fixture
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections that may take as long as a busy machine needs."""
    patient = {name: (module, function, 1000) for name, (module, function, _) in program.SECTIONS.items()}
    monkeypatch.setattr(program, "SECTIONS", patient)


@pytest.fixture
def few_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The section `methods` with three methods, and one of its other rows."""
    monkeypatch.setattr(methods, "METHODS", {name: METHODS[name] for name in FEW})
    monkeypatch.setattr(methods, "OTHERS", methods.OTHERS[:1])


@pytest.mark.usefixtures("few_methods", "no_hurry")
def test_a_dry_run_has_a_row_of_every_section_and_no_error(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    assert program.run(bench, list(program.SECTIONS)) == []
    rows = printed(bench)
    assert rows == bench.rows
    assert {row["section"] for row in rows} == {*program.SECTIONS, "sections"}
    assert not [row for row in rows if "error" in row]
    seen = {row["method"]: row for row in rows if row["section"] == "methods"}
    assert [*seen] == [*FEW, methods.OTHERS[0][0]] and all(row["ok"] for row in seen.values())
    assert seen["SoftCPT-NATA"]["gradient_difference"] > 0  # bfloat16 against float32
    shown = table(rows)
    assert all(f"== {section}" in shown for section in program.SECTIONS)


@pytest.mark.usefixtures("few_methods", "no_hurry")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so nothing has to be pretended")
def test_the_branches_for_cuda_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At toy size, with CUDA's functions replaced; not compiling, which takes a minute."""
    gpu: Any = torch.cuda
    for name in ("synchronize", "reset_peak_memory_stats", "empty_cache", "set_sync_debug_mode"):
        monkeypatch.setattr(gpu, name, lambda *_: None)
    for name in ("memory_allocated", "max_memory_allocated", "get_sync_debug_mode"):
        monkeypatch.setattr(gpu, name, lambda: 0)
    monkeypatch.setattr(gpu, "Event", Event)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    for module in (steps, text, pictures):
        monkeypatch.setattr(module, "shape_of", lambda name, dry: TINY_RESNET)
        monkeypatch.setattr(module, "tasks_of", lambda name, dry: tasks_of(name, dry=True))
    monkeypatch.setattr(text, "matmul_peak", lambda *_: 1.0)
    monkeypatch.setattr(text, "ORDER", (("RN50", "bf16"),))
    monkeypatch.setattr(text, "COLLECTIONS", ("Plant-6",))
    monkeypatch.setattr(steps, "CASES", steps.CASES[:2])
    monkeypatch.setattr(steps, "IMAGES", 14)
    monkeypatch.setattr(pictures, "BATCH", 8)
    monkeypatch.setattr(pictures, "ORDER", (("RN50", "bf16"),))
    monkeypatch.setattr(pictures, "SHOTS", 2)
    monkeypatch.setattr(pictures, "PHOTOGRAPH", (60, 45))
    monkeypatch.setattr(pictures, "workers", lambda: 1)
    bench = bench_in(tmp_path, PretendCuda)
    names = [name for name in program.SECTIONS if name not in ("about", "methods", "compile")]
    assert program.run(bench, names) == []
    rows = printed(bench)
    assert not [row for row in rows if "error" in row or any(key.endswith("_error") for key in row)]
    stepped = next(row for row in rows if row["section"] == "step")
    assert {"launches", "waits", "gpu_busy_ms", "syncs"} <= stepped.keys()


def test_a_section_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Bench) -> None:
        raise RuntimeError("CUDA error:\n no kernel")

    monkeypatch.setattr(text, "section", fails)
    bench = bench_in(tmp_path)
    program.run(bench, ["text", "about"])
    rows = printed(bench)
    assert [row["section"] for row in rows] == ["text", "sections", "about", "sections"]
    assert rows[0]["error"] == "RuntimeError: CUDA error: no kernel" and "test_gpu.py" in rows[0]["at"][-1]
    assert rows[2]["torch"] == torch.__version__


def test_a_row_that_fails_does_not_stop_the_next(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    for number in range(2):
        with bench.making(0, number=number) as row:
            assert row is not None
            if not number:
                raise ValueError("first")
            row["fine"] = True
    first, second = printed(bench)
    assert first["error"] == "ValueError: first" and second["fine"]


def test_a_gpu_that_no_longer_computes_ends_the_process_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sections that are left are returned, for a new process."""

    def broken(bench: Bench) -> None:
        with bench.making(0, kernel="bad"):
            raise RuntimeError("illegal memory access")

    monkeypatch.setattr(text, "section", broken)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: 1 / 0)
    bench = bench_in(tmp_path, PretendCuda)
    assert program.run(bench, ["text", "step", "cell"]) == ["step", "cell"]
    assert "illegal memory access" in printed(bench)[0]["error"]


def test_what_the_budget_has_no_time_for_is_skipped_with_a_row(tmp_path: Path) -> None:
    bench = bench_in(tmp_path, budget=0)
    program.run(bench, ["about", "text"])
    assert [row["section"] for row in printed(bench) if "skipped" in row] == ["about", "text"]
    bench = bench_in(tmp_path, budget=10)
    with bench.making(20, tower="RN50") as row:
        assert row is None
    with bench.making(20, only="another") as row:
        assert row is None
    assert [list(row) for row in printed(bench)][0] == ["section", "tower", "skipped"]


def test_an_alarm_within_another_leaves_the_outer_one_on() -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime), alarm(2):
        with alarm(1), pytest.raises(OutOfTime):
            time.sleep(5)
        time.sleep(5)
    assert time.monotonic() - began < 4


def test_numbers_are_short_and_json_has_no_nan(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    bench.row(a=1 / 3, b=float("nan"), c={"d": (1, 2.0)}, e=torch.float16)
    assert printed(bench) == [{"section": "", "a": 0.33333, "b": "nan", "c": {"d": [1, 2.0]}, "e": "torch.float16"}]


def test_missing_packages_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = program.importlib.util.find_spec
    lacking = ("clip", "yacs", "pkg_resources")
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None if name in lacking else find(name))
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert program.main() == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "pip install yacs clip-anytorch 'setuptools<81'" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_names_the_dry_run() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--sections", "about"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and "--dry-run" in done.stderr
    dry = subprocess.run([*command, "--dry-run"], cwd=REPOSITORY, capture_output=True, text=True)
    assert dry.returncode == 0
    rows = [json.loads(line) for line in dry.stdout.splitlines()]
    assert [row["section"] for row in rows] == ["about", "sections", "total"] and rows[-1]["complete"]
    assert "== about" in dry.stderr


def test_every_fact_about_the_machine_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(about, "cpu_name", lambda: 1 / 0)
    bench = bench_in(tmp_path)
    about.section(bench)
    (row,) = printed(bench)
    assert "ZeroDivisionError" in row["cpu"] and row["python"]
