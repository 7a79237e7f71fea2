"""export's command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier import Classifier
from common.files import read_record
from launcher import export, trained
from launcher.main import main
from prompting.photographs import read_image
from runs import pictured
from tests.support.finished import Finished
from tests.support.launching import raises
from tests.support.runs import MakeRun

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
Shown = pytest.CaptureFixture[str]


def call(*words: object) -> int:
    return main(["export", *map(str, words)])


def refused(capsys: Shown, *words: object) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert call(*words) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "Traceback" not in shown.err
    return shown.err


def test_a_run_is_exported(finished: Callable[..., Finished], tmp_path: Path, capsys: Shown) -> None:
    run, folder = finished("SoftCPT-NATA"), tmp_path / "new" / "my classifier"
    capsys.readouterr()
    assert call(run.folder, "--to", folder, "--int8", "--fp16") == 0
    out = capsys.readouterr().out
    mean = f"{run.results['mean']:5.1f} %"
    assert all(f"{name}.onnx" in out for name in ("image_tower", "image_tower_fp16", "image_tower_int8"))
    assert next(line for line in out.splitlines() if line.startswith("image_tower.onnx")).count(mean) == 1
    accuracies = read_record(folder / "export.json")["models"]["image_tower.onnx"]["accuracies"]
    assert accuracies == pytest.approx([task["accuracy"] for task in run.results["tasks"]])
    images = [read_image(path) for path in run.images[:3]]
    there, here = (Classifier.load(place).predict(images) for place in (run.folder, folder))
    assert [a.classes() for a in there.per_task] == [a.classes() for a in here.per_task]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["my classifier"]
    # What was exported can be exported again; its pictures are not there.
    assert call(folder, "--to", tmp_path / "again") == 0
    assert "on drawn images" in capsys.readouterr().out
    assert call(run.folder, "--to", folder, "--no-test") == 0
    assert " %" not in capsys.readouterr().out


def test_bad_input(make_run: MakeRun, finished: Callable[..., Finished], tmp_path: Path, capsys: Shown) -> None:
    run, to = finished("CoOp-CA").folder, tmp_path / "to"
    assert "--to names the folder" in refused(capsys, run)
    assert "'photos' is one word too many" in refused(capsys, run, "photos", "--to", to)
    assert "There is no folder" in refused(capsys, tmp_path / "gone" / "run", "--to", to)
    assert "earlier version" in refused(capsys, make_run([50.0]), "--to", to)
    assert "--top" in refused(capsys, run, "--to", to, "--top", "2")
    assert "--data" in refused(capsys, run, "--to", to, "--data", run / "log.txt")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("1")
    assert "is not an export" in refused(capsys, run, "--to", tmp_path / "mine")
    assert "is not an export" in refused(capsys, run, "--to", run)
    assert "is a file" in refused(capsys, run, "--to", tmp_path / "mine" / "thesis.txt")
    assert not to.exists() and [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_ctrl_c_leaves_nothing(
    finished: Callable[..., Finished], tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.export._write", raises(KeyboardInterrupt()))
    assert call(finished("CoOp-CA").folder, "--to", tmp_path / "to") == 130
    assert capsys.readouterr().err.endswith("\nInterrupted.\n") and list(tmp_path.iterdir()) == []


def test_pictures_of_all_seeds(finished: Callable[..., Finished]) -> None:
    """Training pictures of each, once; test pictures of the first."""
    one, two = (pictured.photographs_of(finished("CoOp-CA", seed).folder) for seed in (1, 2))
    found = trained.of_folders([finished("CoOp-CA", seed).folder for seed in (1, 2)])
    pictures = export.pictures_of(found, Classifier.load(*found.folders), None)
    assert pictures is not None and [path for path, _ in pictures.test] == [photo.path for photo in one.test]
    every = [photo.path for photo in (*one.train, *two.train)]
    assert sorted(pictures.training) == sorted(set(every)) and len(every) > len(set(every))


def test_a_bundle_among_runs_has_no_pictures(finished: Callable[..., Finished], tmp_path: Path, capsys: Shown) -> None:
    """What it was trained on is not known, so nothing is measured on test images of the others."""
    run = finished("CoOp-CA").folder
    Classifier.load(finished("CoOp-CA", 2).folder).save(tmp_path / "bundle")
    found = trained.of_folders([run, tmp_path / "bundle"])
    assert export.pictures_of(found, Classifier.load(run), None) is None
    assert "Nothing is measured on test images" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_a_missing_module(
    finished: Callable[..., Finished], tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = refused(capsys, finished("CoOp-CA").folder, "--to", tmp_path / "to")
    assert f"'{module}'" in message and "bash scripts/export.sh" in message
    assert not (tmp_path / "to").exists()


def test_what_has_to_be_installed(finished: Callable[..., Finished], tmp_path: Path, capsys: Shown) -> None:
    """As scripts/setup_env.sh asks."""
    assert main(["--check", "export", str(finished("CoOp-CA").folder), "--to", str(tmp_path / "to")]) == 14
    assert main(["--check", "export", "--help"]) == 11


def test_pictures_that_changed(
    finished: Callable[..., Finished], tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and the classifier is exported all the same."""
    monkeypatch.setattr("runs.pictures.changes", lambda run, root: "3 images are gone")
    assert call(finished("CoOp-CA").folder, "--to", tmp_path / "to") == 0
    shown = capsys.readouterr()
    assert "Nothing is measured on test images" in shown.out + shown.err and "on drawn images" in shown.out
