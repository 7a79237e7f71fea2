"""report's command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from launcher.main import main
from tests.support.runs import MakeRun


def test_a_table_here_and_the_rest_on_a_page(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run([50.0, 60.0], seed=1)
    make_run([50.0, 60.0], "CoOp-CA", seed=1)
    make_run([52.0, 60.0], "CoOp-CA", seed=2)
    words = [str(tmp_path / "garden8"), "--out", str(tmp_path / "page.html"), "--files", str(tmp_path / "files")]
    assert main(["--check", "report", *words]) == 0
    assert capsys.readouterr().out == "" and not (tmp_path / "page.html").exists()
    assert main(["report", *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith("garden8: 3 finished runs, 0 without results\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "CoOp-CA (per task) 55.5 ± 0.5 8,390,656" in lines
    assert "SoftCPT-NATA 55.0 (1 of 2 seeds) 8,390,656" in lines
    assert f"Page: {tmp_path / 'page.html'}" in out and "CoOp-CA (per task)" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "files" / "runs.csv").is_file()


@pytest.mark.parametrize(
    ("words", "message"), [([], "folder"), (["nowhere"], "nowhere is not a folder"), (["."], "no runs in ")]
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    message: str,
    check: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*["--check"] * check, "report", *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and message in captured.err and captured.out == ""


def test_a_page_that_cannot_be_written(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run([50.0])
    (tmp_path / "file").write_text("")
    assert main(["report", str(tmp_path / "garden8"), "--out", str(tmp_path / "file" / "page.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path / "file") in error and "name another place" in error
    assert main(["report", str(tmp_path / "garden8"), "--out", str(tmp_path)]) == 0  # a folder
    assert f"Page: {tmp_path / 'report.html'}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away(make_run: MakeRun, tmp_path: Path, unbuffered: str) -> None:
    """Buffered, this is noticed at the end; unbuffered, at the first line."""
    make_run([50.0])
    command = [sys.executable, str(REPOSITORY / "launch.py"), "report", str(tmp_path / "garden8")]
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141
    process.stderr.close()


def test_a_reader_that_goes_away_before_the_page_is_named(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not a page that cannot be written."""
    from launcher import report
    from reporting import page

    make_run([50.0])

    def gone(*_: object) -> Path:
        raise BrokenPipeError

    monkeypatch.setattr(page, "write_page", gone)
    with pytest.raises(BrokenPipeError):
        report.answer([str(tmp_path / "garden8")], check=False)
