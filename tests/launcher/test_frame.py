"""The frame of all command lines: bad input, Ctrl-C and a reader that goes away, for a command of each module."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from common.errors import InputError
from common.paths import REPOSITORY
from launcher import frame
from launcher.main import MODULES, main
from runs.results import RunError
from tests.support.launching import raises

# By command: bad arguments, part of the message, good arguments, and a function of its module that they lead to.
COMMANDS = {
    "softcpt": (["garden8", "four"], "not 'four'", ["garden8", "4"], "launcher.plan.method_plan"),
    "compare": (["garden8", "4", "--methods", ""], "--methods", ["garden8", "4"], "launcher.plan.compare_plan"),
    "train": (["nothing"], "'nothing'", ["softcpt", "garden8", "4"], "launcher.plan.method_plan"),
    "base_to_new": ([], "Which method?", ["softcpt", "garden8", "4"], "launcher.protocols.base_to_new"),
    "new_tasks": (["softcpt"], "Which dataset?", ["softcpt", "garden8", "4"], "launcher.protocols.new_tasks"),
    "table": (["garden9"], "'garden9'", ["garden8"], "launcher.tables.main.make_plan"),
    "report": ([], "folder", ["output"], "launcher.report.read_collection"),
    "bank": (["--limit", "much"], "--limit", ["--output", "."], "prompting.feature_bank.FeatureBank"),
    "predict": (["garden8", "4", ".", "--top", "0"], "--top", ["garden8", "4", "."], "launcher.trained.find"),
    "demo": (["garden8", "4", "--port", "many"], "--port", ["garden8", "4"], "launcher.trained.find"),
    "export": (["garden8", "4"], "--to", ["garden8", "4", "--to", "."], "launcher.trained.find"),
    "prepare": (["dtdd"], "'dtdd'", ["dtd"], "launcher.data.prepare.find_items"),
    "check": (["dtdd"], "'dtdd'", ["dtd"], "launcher.data.check.find_items"),
    "show": (["dtdd"], "'dtdd'", ["dtd"], "launcher.data.show.find_items"),
    "datasets_page": (["--chek"], "--chek", ["--check"], "launcher.data.table.page"),
}


def test_every_module_is_among_these() -> None:
    assert set(MODULES) < set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_input_is_one_line_and_status_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, message, *_ = COMMANDS[command]
    for check in ([], ["--check"]):
        assert main([*check, command, *words]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_is_status_130(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, words, place = COMMANDS[command]
    monkeypatch.setattr(place, raises(KeyboardInterrupt()))
    assert main([command, *words]) == 130
    assert capsys.readouterr().err == "\nInterrupted; the same command continues where it stopped.\n"


@pytest.mark.parametrize("command", [*COMMANDS, "--help"])
def test_a_reader_that_goes_away_is_status_141(command: str) -> None:
    words = [sys.executable, "-S", str(REPOSITORY / "launch.py"), command, *["--help"] * (command != "--help")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141
    process.stderr.close()


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("Two\nlines,  and spaces"), 2, "Two lines, and spaces\n"),
        (RunError("x has no results"), 2, "x has no results\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted; the same command continues where it stopped.\n"),
    ],
)
def test_errors_of_an_answer(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.run(raises(error), []) == status
    assert capsys.readouterr() == ("", message)


def test_an_answers_status_and_arguments() -> None:
    def answer(argv: Sequence[str]) -> int:
        return len(argv)

    assert frame.run(answer, ["a", "b", "c"]) == 3
    with pytest.raises(ZeroDivisionError):  # a mistake in the code keeps its traceback
        frame.run(raises(ZeroDivisionError()), [])
