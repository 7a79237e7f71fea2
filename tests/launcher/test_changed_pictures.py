"""Finished runs whose pictures changed since: refused in one line, or run again with --redo."""

from __future__ import annotations

import pytest

from runs import pictures
from runs.status import forget
from tests.support.launching import Launch, run_folder


@pytest.fixture
def finished(launch: Launch) -> Launch:
    """A finished run of seed 1 that recorded two class folders of two pictures each."""
    for name in ("rose", "tulip"):
        folder = launch.root / "data" / "kinds" / name
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"{number}.jpg").write_bytes(b"x")
    assert launch("softcpt", "tiny8", 4, "--seeds", 1) == 0
    root = launch.root / "data"
    pictures.record(run_folder(launch.output), root, [str(path) for path in root.rglob("*.jpg")])
    launch.calls.clear()
    pictures._changes.cache_clear()
    return launch


def test_unchanged_pictures_are_reported_at_once(finished: Launch) -> None:
    assert finished("softcpt", "tiny8", 4, "--seeds", 1) == 0 and finished.calls == []


@pytest.mark.parametrize("words", [("softcpt", "tiny8", 4), ("table", "variants", "tiny8", "--shots", 4)])
def test_a_new_class_is_said_and_redo_runs_again(finished: Launch, words, capsys: pytest.CaptureFixture[str]) -> None:
    (finished.root / "data" / "kinds" / "lily").mkdir()
    assert finished(*words, "--seeds", 1) == 2 and finished.calls == []
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "folder 'kinds/lily' is new" in error and "--redo" in error
    assert finished(*words, "--seeds", 1, "--redo") == 0
    assert str(run_folder(finished.output)) in [str(call.folder) for call in finished.calls]


def test_a_file_of_another_size_is_another_picture(finished: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    (finished.root / "data" / "kinds" / "rose" / "0.jpg").write_bytes(b"xyz")
    assert finished("softcpt", "tiny8", 4, "--seeds", 1) == 2
    assert "'kinds/rose' has other files" in capsys.readouterr().err


def test_redo_keeps_the_log_and_files_of_others(finished: Launch) -> None:
    folder = run_folder(finished.output)
    (folder / "log.txt").write_text("log")
    (folder / "notes of mine.txt").write_text("mine")
    (folder / "prompt_learner").mkdir(exist_ok=True)
    job = type("Job", (), {"folder": folder})()
    forget(job)
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "notes of mine.txt"]


def test_a_method_without_runs_is_estimated_by_the_authors_times(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("table", "garden8", "--methods", "SoftCPT-NATA", "--shots", "4", "--seeds", "1") == 0
    capsys.readouterr()
    asked = ("table", "garden8", "--methods", "SoftCPT-NATA,CoOp-CA", "--shots", "4", "--seeds", "1", "--dry-run")
    assert launch(*asked) == 0
    out = capsys.readouterr().out
    # 4.5 s, by the mean ratio of CoOp-CA's minutes to SoftCPT-NATA's on the four published collections:
    # (49.53 / 59.62 + 13.98 / 5.83 + 9.13 / 10.05 + 24.43 / 8.00) / 4 = 1.798
    assert "estimated time, by finished runs: 9 s" in out and "No run of CoOp-CA (per task) to go by" in out
