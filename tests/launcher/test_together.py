"""The line on all seeds as one classifier: measured once, and never in the way of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from common.files import read_record
from common.paths import CLASSIFIER, TOGETHER
from launcher import plan as planning
from launcher import together
from tests.support.launching import Launch

TASKS = [
    {"name": "petal colour", "metric": "A", "accuracy": 61.0, "ece": 4.0},
    {"name": "leaf shape", "metric": "C", "accuracy": 70.5, "ece": 9.0},
]
WORDS = ("softcpt", "tiny8", "4")


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The seeds of what was measured, in a stand-in for the measurement."""
    found: list[list[int]] = []

    def measure(jobs: Any, runs: Any, script: str) -> list[dict[str, Any]]:
        found.append([job.seed for job in jobs])
        return TASKS

    monkeypatch.setattr(together, "measure", measure)
    return found


def give_classifiers(root: Path, text: str = "{}") -> list[Path]:
    folders = [path.parent for path in sorted(root.rglob("results.json"))]
    for folder in folders:
        (folder / CLASSIFIER).write_text(text)
    return folders


def test_it_is_measured_once(launch: Launch, measurements: list[list[int]], capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(*WORDS) == 0
    assert "one classifier" not in capsys.readouterr().out  # as of an earlier version: no classifier.json
    folders = give_classifiers(launch.output)
    assert len(folders) == 3 and measurements == []
    for _ in range(2):
        assert launch(*WORDS) == 0
        out = capsys.readouterr().out
        assert "Seeds as one classifier: mean 65.8" in out and "together" in out
        assert " 61.0\n" in out and " 70.5\n" in out
    assert measurements == [[1, 2, 3]]
    assert read_record(folders[0].parent / TOGETHER)["tasks"] == TASKS


def test_it_is_measured_again_after_a_change(
    launch: Launch, measurements: list[list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    launch(*WORDS)
    folders = give_classifiers(launch.output)
    launch(*WORDS)
    (folders[1] / CLASSIFIER).write_text('{"other": 1}')
    launch(*WORDS)
    launch(*WORDS, "--seeds", "1,3")
    file = folders[0].parent / TOGETHER
    file.write_text(file.read_text().replace("70.5", "99.5"))  # the seal breaks
    capsys.readouterr()
    launch(*WORDS, "--seeds", "1,3")
    assert measurements == [[1, 2, 3], [1, 2, 3], [1, 3], [1, 3]]
    assert "99.5" not in capsys.readouterr().out


def test_a_single_seed_and_missing_seeds(
    launch: Launch, measurements: list[list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    launch(*WORDS, "--seeds", "1")
    give_classifiers(launch.output)
    launch(*WORDS, "--seeds", "1")
    launch(*WORDS, "--", "FAKE.FAIL", "2")
    give_classifiers(launch.output)
    launch(*WORDS, "--", "FAKE.FAIL", "2")
    assert measurements == [] and "one classifier" not in capsys.readouterr().out


@pytest.mark.parametrize("error", [InputError("The tower is gone; put it back."), RuntimeError("no memory\nat all")])
def test_a_failure_costs_nothing_else(
    launch: Launch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def measure(*_: object) -> None:
        raise error

    launch(*WORDS)
    monkeypatch.setattr(together, "measure", measure)
    folders = give_classifiers(launch.output)
    capsys.readouterr()
    assert launch(*WORDS) == 0
    out = capsys.readouterr().out
    assert f"Seeds as one classifier: not measured ({str(error).splitlines()[0][:9]}" in out and "petal colour" in out
    assert not (folders[0].parent / TOGETHER).exists()


def test_a_comparison_has_a_line(
    launch: Launch, measurements: list[list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("compare", "tiny8", "1,4", "--methods", "ZeroshotCLIP,CoOp-CA,SoftCPT-NATA", "--seeds", "1,2")
    launch(*words)
    give_classifiers(launch.output)
    capsys.readouterr()
    assert launch(*words) == 0
    out = " ".join(capsys.readouterr().out.split())
    for shots in ("1 shot", "4 shots"):
        assert f"65.8 ({shots})" in out
    assert measurements == [[1, 2]] * 4


def test_figures_to_show(
    launch: Launch,
    measurements: list[list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--show ece has its own figures, its own file, and dashes for runs that did not record them."""
    assert launch(*WORDS, "--show", "ece") == 0
    out = capsys.readouterr().out
    assert "ECE" in out and "51.0" not in out and "Expected calibration error" in out
    for number, task in enumerate(launch.fake.tasks):
        task |= {"ece": 5.0 + number, "ece_uncalibrated": 15.0 + number, "temperature": 2.0}
    assert launch(*WORDS, "--show", "ece", "--redo") == 0
    give_classifiers(launch.output)
    capsys.readouterr()
    assert launch(*WORDS, "--show", "ece") == 0
    out = capsys.readouterr().out
    assert "5.5 ± 0.0" in out and "Seeds as one classifier: mean 6.5" in out
    assert launch(*WORDS, "--show", "ece-uncalibrated") == 0
    assert "15.5 ± 0.0" in capsys.readouterr().out  # and nothing on seeds together
    assert launch("compare", "tiny8", "4", "--show", "ece", "--against", "CoOp-CA") == 0
    assert sorted(path.name for path in launch.output.rglob("compare*.md")) == ["compare_4shots+show=ece.md"]


def test_an_unknown_figure(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(*WORDS, "--show", "ecee") == 2
    assert "'ecee' is unknown; did you mean 'ece'?" in capsys.readouterr().err


def test_names_of_reports() -> None:
    assert planning.report_name([4], "") == "compare_4shots.md"
    assert planning.report_name([4], "all", "ece") == "compare_4shots+methods=all+show=ece.md"
