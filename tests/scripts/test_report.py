"""scripts/report.sh's command line."""

import subprocess
import sys

import pytest

from scripts import report
from tests.scripts.conftest import ROOT
from tests.support.runs import make_run  # noqa: F401


def test_a_table_here_and_the_rest_on_a_page(make_run, tmp_path, capsys):  # noqa: F811
    make_run([50.0, 60.0], seed=1)
    make_run([50.0, 60.0], "CoOp-CA", seed=1)
    make_run([52.0, 60.0], "CoOp-CA", seed=2)
    words = [str(tmp_path / "garden8"), "--out", str(tmp_path / "page.html"), "--files", str(tmp_path / "files")]
    assert report.main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("garden8: 3 finished runs, 0 without results\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "CoOp-CA (per task) 55.5 ± 0.5 8,390,656" in lines
    assert "SoftCPT-NATA 55.0 (1 of 2 seeds) 8,390,656" in lines
    assert f"Page: {tmp_path / 'page.html'}" in out and "CoOp-CA (per task)" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "files" / "runs.csv").is_file()


@pytest.mark.parametrize(("words", "said"), [([], "folder"), (["nowhere"], "nowhere is no folder"), (["."], "no run")])
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert report.main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and said in captured.err and captured.out == ""


def test_a_page_that_cannot_be_written(make_run, tmp_path, capsys):  # noqa: F811
    make_run([50.0])
    (tmp_path / "file").write_text("")
    assert report.main([str(tmp_path / "garden8"), "--out", str(tmp_path / "file" / "page.html")]) == 2
    assert "name another place" in capsys.readouterr().err
    assert report.main([str(tmp_path / "garden8"), "--out", str(tmp_path)]) == 0  # a folder
    assert f"Page: {tmp_path / 'report.html'}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_reader_that_goes_away(make_run, tmp_path):  # noqa: F811
    make_run([50.0])
    command = [sys.executable, str(ROOT / "scripts/report.py"), str(tmp_path / "garden8")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141
