"""parse_test_res.py on logs as this project and CoOp print them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

import parse_test_res
from common.paths import LOG
from tests.support.limits import in_time, make_pipe

OURS = """epoch [50/50] batch [5/7] loss 0.9222 (0.9078) acc 71.8750 (69.3750)
{before}Finish training
Deploy the last-epoch model
Evaluate on the *test* set
=> result
* total: 1,512
* correct: 890
* accuracy: {accuracy}%
* error: 42.7%
* macro_f1: 58.0%
=> per-task result
* task: 0 (petal colour)\ttotal: 192\tcorrect: 158\tacc: 82.3% (overall accuracy)
Elapsed: 0:02:00
"""
COOPS = """** Arguments **
{before}Finish training
Do evaluation on test set
=> result
* total: 2,465
* correct: 2,263
* accuracy: {accuracy}%
* error: 8.2%
* macro_f1: 88.44%
"""


class Logs(Protocol):
    """Writes the logs of seed1, seed2, ... into a folder and returns its path."""

    def __call__(self, folder: str, accuracies: Sequence[str], form: str = ...) -> str: ...


@pytest.fixture(params=[OURS, COOPS], ids=["ours", "CoOp's"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Logs:
    """Logs in both formats; results before the end of training must be ignored."""

    def write(folder: str, accuracies: Sequence[str], form: str = request.param) -> str:
        for seed, accuracy in enumerate(accuracies, start=1):
            path = tmp_path / folder / f"seed{seed}" / LOG
            path.parent.mkdir(parents=True)
            path.write_text(form.format(accuracy=accuracy, before="=> result\n* accuracy: 1.0%\n"))
        return str(tmp_path / folder)

    return write


def test_a_summary_has_the_format_of_coop(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    folder = logs("runs", ["50.0", "52.0", "57.25"])
    assert parse_test_res.main([folder]) == 0
    # 53.0833; deviations -3.0833, -1.0833, 4.1667; the mean of their squares 9.3472, its root 3.0573
    assert capsys.readouterr().out == (
        f"Parsing files in {folder}\n"
        f"file: {folder}/seed1/log.txt. accuracy: 50.00%. \n"
        f"file: {folder}/seed2/log.txt. accuracy: 52.00%. \n"
        f"file: {folder}/seed3/log.txt. accuracy: 57.25%. \n"
        f"===\nSummary of directory: {folder}\n* accuracy: 53.08% +- 3.06%\n===\n"
    )


def test_ci95_and_keyword(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    folder = logs("runs", ["50.0", "52.0"])
    assert parse_test_res.main([folder, "--ci95"]) == 0
    assert "* accuracy: 51.00% +- 1.39%" in capsys.readouterr().out  # 1.96 * 1 / sqrt(2)
    assert parse_test_res.main([folder, "--keyword", "macro_f1"]) == 0
    assert "+- 0.00%" in capsys.readouterr().out


def test_several_experiments(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    logs("all/first", ["50.0", "52.0"])
    logs("all/second", ["60.0"])
    folder = logs("all/.hidden", ["0.0"]).removesuffix("/.hidden")
    assert parse_test_res.main([folder, "--multi-exp"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("Average performance\n* accuracy: 55.50%\n") and "hidden" not in out


def test_logs_of_evaluations(logs: Logs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    form = "Evaluate on the *test* set\n=> result\n* accuracy: {accuracy}%\n"
    folder = logs("tests", ["40.0"], form)
    assert parse_test_res.main([folder]) == 2
    assert "Nothing found" in capsys.readouterr().err
    assert parse_test_res.main([folder, "--test-log"]) == 0
    assert "* accuracy: 40.00% +- 0.00%" in capsys.readouterr().out


def test_an_ignored_log_is_reported(logs: Logs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = logs("runs", ["50.0", "52.0"])
    (tmp_path / "runs" / "seed3").mkdir()
    (tmp_path / "runs" / "seed3" / LOG).write_text("epoch 1\n* accuracy: 99.0%\n")
    assert parse_test_res.main([folder]) == 0
    captured = capsys.readouterr()
    assert "* accuracy: 51.00%" in captured.out and f"seed3/{LOG} has no accuracy" in captured.err


@pytest.mark.parametrize("flags", [["--multi-exp"], []])
def test_bad_input_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert parse_test_res.main([str(tmp_path / "nowhere"), *flags]) == 2
    (tmp_path / "seed1").mkdir()
    assert parse_test_res.main([str(tmp_path)]) == 2
    assert parse_test_res.main([str(tmp_path), "--keyword", "("]) == 2
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.parametrize("value", ["1e999", "-1e999", ".", "1e5e5", "-"])
def test_a_value_that_is_no_number_is_one_line(logs: Logs, capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert parse_test_res.main([logs("runs", [value])]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and f"'{value}' is not a number" in shown.err


def test_a_log_that_is_a_named_pipe_or_no_text(logs: Logs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = logs("runs", ["50.0", "52.0"])
    path = tmp_path / "runs" / "seed1" / LOG
    path.write_bytes(b"\xff\xfe\n" + path.read_bytes())
    assert parse_test_res.main([folder]) == 0 and "* accuracy: 51.00%" in capsys.readouterr().out
    make_pipe(path)
    assert in_time(lambda: parse_test_res.main([folder])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{path} cannot be read: it is not a regular file" in error


@pytest.mark.parametrize("keyword", ["(?i)accuracy", "(acc)uracy", "accuracy|macro_f1"])
def test_keywords_that_are_patterns(logs: Logs, capsys: pytest.CaptureFixture[str], keyword: str) -> None:
    status = parse_test_res.main([logs("runs", ["50.0"]), "--keyword", keyword])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and (status == 0 or shown.err.count("\n") == 1)
