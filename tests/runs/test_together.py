"""Seeds as one classifier: what is measured is what the classifier answers to the test images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from classifier import Classifier
from classifier.calibration import expected_calibration_error
from common.errors import InputError
from prompting.photographs import read_image
from runs import together
from runs.together import measured
from tests.support.finished import ONE_OF_EACH_KIND, Finished, finished, place
from tests.support.training import SETTINGS, Workplace
from trainers.engine.image_features import ImageFeatures

__all__ = ["finished", "place"]
TRAINED = ("SoftCPT-NATA", "ProtoNet", *ONE_OF_EACH_KIND)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test loads its own tower."""
    together._tests.cache_clear()
    yield
    together._tests.cache_clear()


def measure(place: Workplace, method: str, folders: list[Path], may_encode: bool = True):
    return measured(place.config(method, folders[0].name, *SETTINGS.get(method, ()), epochs=2), folders, may_encode)


@pytest.mark.parametrize("method", TRAINED)
def test_it_is_what_the_classifier_answers(
    finished: Callable[..., Finished], place: Workplace, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [finished(method, seed) for seed in (1, 2)]
    folders = [run.folder for run in runs]
    classifier = Classifier.load(*folders)
    answers = classifier.predict(map(read_image, runs[0].images))
    assert runs[0].images == runs[1].images
    capsys.readouterr()
    tasks = measure(place, method, folders)
    assert tasks is not None and capsys.readouterr().out == ""
    for number, (told, task) in enumerate(zip(tasks, answers.per_task, strict=True)):
        mine = classifier.layout.task_of_class[runs[0].label] == number
        probabilities, labels = task.probabilities[mine], runs[0].label[mine] - classifier.layout.offsets[number]
        right = (probabilities.argmax(1) == labels).double()
        if task.task.metric == "C":
            accuracy = sum(right[labels == c].mean() for c in labels.unique()) / len(labels.unique())
        else:
            accuracy = right.mean()
        assert told["accuracy"] == pytest.approx(100 * float(accuracy))
        assert told["ece"] == pytest.approx(100 * expected_calibration_error(probabilities, labels), abs=0.02)
        assert (told["name"], told["metric"]) == (task.task.name, task.task.metric)


def test_features_come_from_the_bank(
    finished: Callable[..., Finished], place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is encoded, and the tower is loaded once for several methods."""

    def refuse(*_: object) -> None:
        raise AssertionError("an image is encoded")

    folders = {method: [finished(method, seed).folder for seed in (1, 2)] for method in ("CoOp-CA", "TaskRes")}
    monkeypatch.setattr(ImageFeatures, "_encode", refuse)
    for method, seeds in folders.items():
        assert measure(place, method, seeds, may_encode=False)
    assert together._tests.cache_info().misses == 1


@pytest.mark.parametrize("method", ["MaPLe", "PLOT", "CoCoOp"])
def test_nothing_is_encoded_that_would_take_long(
    finished: Callable[..., Finished], place: Workplace, method: str
) -> None:
    assert measure(place, method, [finished(method, seed).folder for seed in (1, 2)], may_encode=False) is None


def test_nothing_is_encoded_without_a_bank(finished: Callable[..., Finished], place: Workplace, tmp_path: Path) -> None:
    folders = [finished("CoOp-CA", seed).folder for seed in (1, 2)]
    cfg = place.config("CoOp-CA", folders[0].name, "BANK.DIR", str(tmp_path), epochs=2)
    assert measured(cfg, folders, may_encode=False) is None
    assert measured(cfg, folders, may_encode=True) == measure(place, "CoOp-CA", folders)


def test_runs_of_two_commands(finished: Callable[..., Finished], place: Workplace) -> None:
    with pytest.raises(InputError, match="methods"):
        measure(place, "CoOp-CA", [finished("CoOp-CA").folder, finished("TaskRes").folder])
