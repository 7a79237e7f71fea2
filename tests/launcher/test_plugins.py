"""Plug-ins: --plugin and SOFTCPT_PLUGINS reach planning, this process and the processes that it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from common import plugins
from common.catalogue import METHODS
from tests.support.launching import PLUGIN, Launch, rows_of, run_folder, start, write_plugin


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path)


@pytest.mark.parametrize("command", [["mine"], ["train", "mine"], ["train", "Mine"], ["train", "Mine (a plug-in)"]])
@pytest.mark.parametrize("by_flag", [True, False])
def test_a_method_of_a_plugin(
    launch: Launch, plugin: Path, monkeypatch: pytest.MonkeyPatch, command: Sequence[str], by_flag: bool
) -> None:
    if not by_flag:
        monkeypatch.setenv(plugins.VARIABLE, str(plugin))
    words = [*command, "tiny8", "4", "--seeds", "1", *["--plugin", str(plugin)] * by_flag]
    assert launch("--check", *words) == 0 and launch.calls == []
    assert launch(*words) == 0
    (call,) = launch.calls
    assert (call.method, call.trainer) == ("Mine", "MineTrainer")
    assert call.folder == run_folder(launch.output, method="Mine")
    assert os.environ[plugins.VARIABLE] == str(plugin)  # for processes that this one starts


def test_without_the_plugin_the_method_is_unknown(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", "Mine", "tiny8", "4") == 2
    assert "'Mine' is neither a method nor a dataset" in capsys.readouterr().err


def test_a_plugin_in_comparisons_protocols_and_tables(
    launch: Launch, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = ["--plugin", plugin]
    words = ["--methods", "zsclip,Mine", "--against", "Mine", "--seeds", "1"]
    assert launch("compare", "tiny8", "4", *words, *flag) == 0
    assert "Mine (a plug-in)" in capsys.readouterr().out
    assert launch("base_to_new", "mine", "tiny8", "4", *flag) == 2
    assert "Mine has a wish for every class" in capsys.readouterr().err
    assert launch("table", "garden8", "--methods", "Mine", "--shots", "4", *flag) == 0
    assert rows_of(capsys.readouterr().out)["Mine (a plug-in)"][:3] == ["52.0", "62.0", "57.0 ± 0.8"]
    assert launch("table", "garden8", "--methods", "all", "--dry-run", *flag) == 0
    assert "Mine (a plug-in)" in capsys.readouterr().out


def test_help_lists_the_keys_of_a_plugin(launch: Launch, plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for check in ([], ["--check"]):
        assert launch(*check, "mine", "--help", "--plugin", plugin) == (11 if check else 0)
        out = capsys.readouterr().out
        assert out.startswith("usage: bash scripts/train.sh mine ") and "Trains and tests Mine." in out
        assert "  TRAINER.MINE.WISHES 3  (at least 1)\n      how many\n" in out
    launch("train", "--help", "--plugin", plugin)
    assert "\n  mine " in capsys.readouterr().out
    # Declarations that cannot be read without running the file are left out.
    plugin.write_text(PLUGIN.replace('Knob("WISHES", 3', 'Knob("WISHES", len(METHODS)'))
    assert launch("mine", "--help", "--plugin", plugin) == 0
    out = capsys.readouterr().out
    assert "WISHES" not in out and "--seeds" in out


@pytest.mark.parametrize("by_flag", [True, False])
def test_worker_processes_load_it(clone: Path, plugin: Path, by_flag: bool) -> None:
    words = ["table", "garden8", "--methods", "Mine", "--shots", "1,4", "--seeds", "1", "--jobs", "2"]
    words += ["--plugin", str(plugin)] * by_flag
    process = start(clone, *words, **{plugins.VARIABLE: "" if by_flag else str(plugin)})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert {line[:4] for line in out.splitlines() if "/2] Mine on garden8" in line} == {"1 | ", "2 | "}
    for shots in (1, 4):
        folder = run_folder(clone / "output", "results.json", dataset="garden8", method="Mine", shots=shots)
        assert '"MineTrainer"' in folder.read_text()


def test_several_plugins_are_each_loaded_once(launch: Launch, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = plugin.with_name("second.py")
    second.write_text(PLUGIN.replace("Mine", "Ours").replace('"mine"', '"ours"'))
    monkeypatch.setenv(plugins.VARIABLE, str(plugin))
    words = ["compare", "tiny8", "4", "--seeds", "1", "--methods", "Mine,Ours", "--plugin", plugin, "--plugin", second]
    assert launch(*words) == 0
    assert [call.method for call in launch.calls] == ["Mine", "Ours"]
    assert os.environ[plugins.VARIABLE].split(os.pathsep) == [str(plugin), str(second)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing; --plugin and SOFTCPT_PLUGINS"),
        ("METHODS = []", "has no METHODS"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("raise SyntaxError('here')", "cannot be imported: SyntaxError: here"),
        (PLUGIN.replace('"Mine", "Mine', '"CoOp-CA", "Mine'), "Method CoOp-CA has the name of CoOp-CA"),
        (PLUGIN.replace('"mine"', '"kgcoop"'), "Method Mine has the command of KgCoOp"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_plugin_that_cannot_be_used(
    launch: Launch, plugin: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str, check: bool
) -> None:
    before = list(METHODS)
    if text is None:
        plugin.unlink()
    else:
        plugin.write_text(text)
    assert launch(*["--check"] * check, "mine", "tiny8", "4", "--plugin", plugin) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert list(METHODS) == before and not [name for name in sys.modules if name.startswith("softcpt_plugin_")]


def test_a_plugin_that_needs_pytorch_before_it_is_installed(
    launch: Launch, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The arguments cannot be checked yet, and are after the set-up."""
    plugin.write_text("import no_such_module\n" + PLUGIN)
    assert launch("--check", "mine", "tiny8", "4", "--plugin", plugin) == 0
    assert capsys.readouterr() == ("", "")
    assert launch("mine", "tiny8", "4", "--plugin", plugin) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "'no_such_module'" in error and "scripts/train.sh" in error
