"""Tables: what they skip, run, print and list as failed, in this process; the runs are invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import Busy
from tests.support.fake_runs import Call
from tests.support.launching import Launch, run_folder

TWO = ["--methods", "ZeroshotCLIP,SoftCPT-NATA"]
ONE = ["table", "garden8", "--methods", "SoftCPT-NATA", "--shots", "4"]


def folder(launch: Launch, *parts: str, **more: Any) -> Path:
    return run_folder(launch.output, *parts, dataset="garden8", **more)


def test_a_table_is_planned_run_and_printed_and_then_only_what_is_missing(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table", "garden8", *TWO, "--shots", "1,4", "--seeds", "1,2"]
    assert launch(*words) == 0
    assert len(launch.calls) == 5
    out = capsys.readouterr().out
    assert out.index("5 runs: 0 finished, 5 to do") < out.index("[1/5] ZeroshotCLIP on garden8")
    assert "SoftCPT-NATA    56.5 ± 0.5  56.5 ± 0.5" in out
    file = Path(out.split("Also in ")[1].splitlines()[0])
    assert "| SoftCPT-NATA | **56.5 ± 0.5** |" in file.read_text("utf-8")
    assert f"Page: {launch.output}/garden8/report.html" in out
    folder(launch, "results.json", seed=2).unlink()
    launch.calls.clear()
    assert launch(*words) == 0
    assert [call.folder for call in launch.calls] == [folder(launch, seed=2)]
    assert "5 runs: 4 finished, 1 to do" in capsys.readouterr().out


def test_a_part_of_a_table_has_a_file_of_its_own(launch: Launch) -> None:
    for words in ([], ["--seeds", "1"], ["--cfg", "rn50_ep50"], ["--", "OPTIM.LR", "1"]):
        assert launch("table", "backbones", "garden8", *words) == 0
    assert len(list((launch.output / "garden8").glob("table_backbones*.md"))) == 4


def test_runs_that_share_views_follow_each_other(launch: Launch) -> None:
    words = ["--methods", "CoOp-CA,SoftCPT-NATA,ZeroshotCLIP", "--shots", "4,1", "--seeds", "1,2"]
    assert launch("table", "garden8", *words) == 0
    folders = [call.folder for call in launch.calls]
    assert folders[0].parts[-4] == "ZeroshotCLIP"
    chains = [path.parts[-2:] for path in folders[1:]]
    assert chains == [(f"{n}shots", f"seed{k}") for n in (1, 4) for k in (1, 2) for _ in range(2)]


def test_failed_runs_are_listed_with_the_last_line_of_their_logs_and_run_again(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(*ONE, "--", "FAKE.FAIL", "2") == 1
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-2:]
    run = "SoftCPT-NATA on garden8, 4 shots, seed 2 (small+FAKE.FAIL=2)"
    assert last[0].startswith(f"Failed: {run}: RuntimeError: out of memory")
    assert last[0].endswith("traceback.txt: and more)")
    assert last[1] == "1 of 3 runs are not finished; the same command runs only them."
    assert "(2 of 3 seeds)" in captured.out
    (file,) = (launch.output / "garden8").glob("table_garden8*.md")
    assert f"- {last[0]}\n" in file.read_text("utf-8")
    assert launch(*ONE, "--dry-run", "--", "FAKE.FAIL", "2") == 0
    assert "failed before" in capsys.readouterr().out
    launch.calls.clear()
    assert launch(*ONE, "--", "FAKE.FAIL", "2") == 1
    assert len(launch.calls) == 1


def test_what_the_user_has_to_fix(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """For one method: the others continue. For all: reported once, status 2."""
    words = ["table", "garden8", "--methods", "CoOp-CA,SoftCPT-NATA", "--shots", "4"]
    assert launch(*words, "--", "FAKE.REFUSE", "CoOp") == 1
    captured = capsys.readouterr()
    assert captured.err.count("CoOp does not support this tower") == 3 and "SoftCPT-NATA" in captured.out
    assert launch(*words, "--", "FAKE.BAD", "1") == 2
    captured = capsys.readouterr()
    assert captured.err == "Image x.jpg is corrupt; replace it.\n"


def test_interrupted_and_resumed(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(*ONE, "--", "FAKE.INTERRUPT", "2") == 130
    assert "the same command continues where it stopped" in capsys.readouterr().err
    assert launch(*ONE, "--dry-run", "--", "FAKE.INTERRUPT", "2") == 0
    assert "3 runs: 1 finished, 2 to do" in capsys.readouterr().out


def test_a_run_of_another_process_is_left_to_it(
    launch: Launch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Callable[[Call], dict[str, Any]] = launch.fake.record

    def busy(call: Call) -> dict[str, Any]:
        if call.seed == 2:
            raise Busy("Another process is using x.")
        return record(call)

    monkeypatch.setattr(launch.fake, "record", busy)
    assert launch(*ONE) == 1
    captured = capsys.readouterr()
    (line,) = (line for line in captured.err.splitlines() if line.startswith("Left to another process"))
    assert "SoftCPT-NATA on garden8, 4 shots, seed 2" in line
    assert "Failed" not in captured.err and "1 of 3 runs are not finished" in captured.err
    assert folder(launch, "results.json", seed=3).exists()


def test_a_page_that_cannot_be_written_does_not_lose_the_table(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(*ONE) == 0
    page = launch.output / "garden8/report.html"
    page.unlink()
    (page / "report.html").mkdir(parents=True)
    assert launch(*ONE) == 0
    out = capsys.readouterr().out
    assert "No page: " in out and out.splitlines()[-1].startswith("Done in")


def test_tables_of_each_kind(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--seeds", "1,2", "--shots", "4"]
    assert launch("table", "backbones", "plant6", *TWO, *short) == 0
    out = capsys.readouterr().out
    assert "RN50       RN101    ViT-B/32    ViT-B/16" in out and out.count("56.5 ± 0.5") == 4
    assert launch("table", "backbones", "garden8", *TWO, *short) == 0
    assert "garden8 has one tower, that of its config small: one column." in capsys.readouterr().out
    assert launch("table", "context_length", "garden8", *short) == 0
    out = capsys.readouterr().out
    assert "L = 2, M = 4" in out and "L = 16, M = 16" in out and out.count("56.5 ± 0.5") == 9
    assert launch("table", "variants", "garden8", "--methods", "SoftCPT-NATA,SoftCPT-NATS", *short) == 0
    assert capsys.readouterr().out.count("56.5 ± 0.5") == 2


def test_a_method_that_only_some_towers_suit_has_their_columns(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("table", "backbones", "plant6", "--methods", "all", "--seeds", "1", "--shots", "4") == 0
    out = capsys.readouterr().out
    for tower in ("rn50_ep50", "rn101_ep50"):
        assert f"Left out, as config '{tower}' lacks a vision transformer: MaPLe, PromptSRC\n" in out
    used = [call.settings.config.stem for call in launch.calls if call.method == "MaPLe"]
    assert used == ["vit_b32_ep50", "vit_b16_ep50"]
    row = next(line for line in reversed(out.splitlines()) if line.startswith("MaPLe "))
    assert row.split()[-2:] == ["56.0", "56.0"]


def test_base_to_new_and_new_tasks(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--seeds", "1,2", "--shots", "4"]
    assert launch("table", "base_to_new", "garden8", *TWO, *short) == 0
    out = capsys.readouterr().out
    assert "Zero-shot CLIP" in out and "SoftCPT-NATA    56.5 ± 0.5  46.5 ± 0.5  51.0 ± 0.5" in out
    assert "leaf shape" in next((launch.output / "garden8").glob("table_base_to_new*")).read_text("utf-8")
    assert [number for number, call in enumerate(launch.calls) if call.of] == [3, 5]  # each after its training
    assert launch.fake.names_asked == []
    launch.calls.clear()
    # The number of this collection's tasks is not declared, so the run is asked for their names.
    assert launch("table", "new_tasks", "tiny8", "--methods", "SoftCPT-NATA", *short) == 0
    assert launch.fake.names_asked[0] == 0
    out = capsys.readouterr().out
    row = next(line for line in reversed(out.splitlines()) if line.startswith("SoftCPT-NATA"))
    assert row.split()[1:] == ["46.5", "±", "0.5", "56.0", "-9.5"]
    details = next((launch.output / "tiny8").glob("table_new_tasks*")).read_text("utf-8")
    assert "petal colour" in details and "Held out: runs trained on" in details
