"""The temperatures of runs: from validation images to what a classifier answers, and where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import Classifier
from classifier.bundle import RECORD, read_bundle
from classifier.calibration import BOUNDS, expected_calibration_error, temperatures_of
from common.errors import InputError
from common.files import read_record, sealed, write_record
from common.paths import RESULTS
from prompting.photographs import read_image
from runs.results import read_run
from tests.support.finished import ONE_OF_EACH_KIND, Finished
from tests.support.training import Workplace
from trainers.engine.task_trainer import TaskTrainer

KEYS = ("temperature", "temperature_from", "ece", "ece_uncalibrated")


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_a_run_fits_them_and_its_classifier_uses_them(finished: Callable[..., Finished], method: str) -> None:
    run = finished(method)
    told, results = read_record(run.folder / RECORD)["tasks"], run.results["tasks"]
    assert all(one[key] == other[key] for one, other in zip(told, results, strict=True) for key in KEYS)
    classifier = Classifier.load(run.folder)
    assert classifier.temperatures == [[task["temperature"] for task in results]]
    assert all(BOUNDS[0] < task["temperature"] < BOUNDS[1] for task in results)
    assert [task["temperature_from"] for task in results] == ["6 validation images", "4 validation images"]
    plain = Classifier.load(run.folder)
    plain.temperatures = [[1.0, 1.0]]
    images = [read_image(path) for path in run.images]
    for number, result in enumerate(results):
        mine = classifier.layout.task_of_class[run.label] == number
        labels = run.label[mine] - classifier.layout.offsets[number]
        for one, key in ((classifier, "ece"), (plain, "ece_uncalibrated")):
            probabilities = one.predict(images).per_task[number].probabilities[mine]
            assert 100 * expected_calibration_error(probabilities, labels) == pytest.approx(result[key], abs=0.02)
    means = {key: sum(task[key] for task in results) / 2 for key in KEYS[2:]}
    assert {key: run.results[key] for key in means} == pytest.approx(means)


def test_they_are_those_of_the_validation_images(place: Workplace) -> None:
    """Encoded and classified without the trainer."""
    trainers: list[TaskTrainer] = []
    report = TaskTrainer.report

    def watched(self: TaskTrainer) -> dict[str, Any]:
        trainers.append(self)
        return report(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskTrainer, "report", watched)
        results = place.run("CoOp-CA", "fitted", epochs=2)
    classifier = Classifier.load(place.output / "fitted")
    tasks = []
    for number in range(2):
        items = [item for item in trainers[0].dm.dataset.val if item.domain == number]
        images = torch.stack([classifier.view(read_image(item.impath)) for item in items])
        logits = classifier.heads[0].logits(classifier.tower.encode_image(images), number)
        tasks.append((logits, torch.tensor([item.label for item in items]) - classifier.layout.offsets[number]))
    assert [task["temperature"] for task in results["tasks"]] == pytest.approx(temperatures_of(tasks), rel=1e-3)


def test_an_evaluation_takes_those_of_its_run(place: Workplace) -> None:
    """Also for classes that it was not trained on, whose validation images are not asked."""
    words = ("DATASET.SUBSAMPLE_CLASSES", "base")
    trained = place.run("CoOp-MT", "base", *words, epochs=2)
    same = place.evaluate("base", "CoOp-MT", "base/again", *words)
    new = place.evaluate("base", "CoOp-MT", "base/new", "DATASET.SUBSAMPLE_CLASSES", "new")
    expected, sources = ([task[key] for task in trained["tasks"]] for key in ("temperature", "temperature_from"))
    for results in (same, new):
        assert [task["temperature"] for task in results["tasks"]] == expected
        assert [task["temperature_from"] for task in results["tasks"]] == sources
    assert [task["ece"] for task in same["tasks"]] == [task["ece"] for task in trained["tasks"]]
    assert Classifier.load(place.output / "base" / "again").temperatures == [expected]


def test_an_evaluation_of_new_tasks_takes_the_mean_of_its_run(place: Workplace) -> None:
    trained = place.run("CoOp-MT", "first", "DATASET.SUBSAMPLE_TASKS", "base", epochs=2)
    new = place.evaluate("first", "CoOp-MT", "first/new", "DATASET.SUBSAMPLE_TASKS", "new")
    (task,) = new["tasks"]
    assert task["temperature"] == pytest.approx(trained["tasks"][0]["temperature"])
    assert task["temperature_from"] == "the evaluated run's other tasks"


def test_an_evaluation_of_an_earlier_run_fits_its_own(place: Workplace) -> None:
    place.run("CoOp-CA", "old", epochs=1)
    results = read_record(place.output / "old" / RESULTS)
    tasks = [{key: value for key, value in task.items() if key not in KEYS} for task in results["tasks"]]
    (place.output / "old" / RESULTS).write_text(json.dumps(sealed({**results, "tasks": tasks})))
    again = place.evaluate("old", "CoOp-CA", "old/again")
    assert all("validation image" in task["temperature_from"] for task in again["tasks"])


def test_without_validation_images(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    build = TaskTrainer.build_data_loader

    def without(self: TaskTrainer) -> None:
        build(self)
        self.val_loader = None

    monkeypatch.setattr(TaskTrainer, "build_data_loader", without)
    results = place.run("CoOp-CA", "no-val", epochs=1)
    for task in results["tasks"]:
        assert (task["temperature"], task["temperature_from"]) == (1.0, "no validation images")
        assert task["ece"] == task["ece_uncalibrated"]


def test_a_damaged_validation_image_does_not_end_a_run(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    batches = TaskTrainer.test_batches

    def damaged(self: TaskTrainer, loader: torch.utils.data.DataLoader):
        if loader is self.val_loader:
            raise refusal
        return batches(self, loader)

    refusal = InputError("Image x.png cannot be read; replace it.")
    monkeypatch.setattr(TaskTrainer, "test_batches", damaged)
    results = place.run("CoOp-CA", "damaged-val", epochs=1)
    assert {task["temperature_from"] for task in results["tasks"]} == {str(refusal)}
    assert Classifier.load(place.output / "damaged-val").temperatures == [[1.0, 1.0]]
    assert "not calibrated: Image x.png" in "".join(capfd.readouterr())


def test_records_of_earlier_versions(finished: Callable[..., Finished], tmp_path: Path) -> None:
    """Without temperatures they are 1, and figures that were not recorded are None."""
    run = finished("CoOp-CA")
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("classifier.safetensors", RECORD, RESULTS):
        (folder / name).write_bytes((run.folder / name).read_bytes())
    for name in (RECORD, RESULTS):
        record = read_record(folder / name)
        tasks = [{key: value for key, value in task.items() if key not in KEYS} for task in record["tasks"]]
        write_record(folder / name, {**record, "tasks": tasks})
    assert Classifier.load(folder).temperatures == [[1.0, 1.0]]
    assert all((t.temperature, t.ece, t.ece_uncalibrated) == (None, None, None) for t in read_run(folder).tasks)
    assert all(t.ece is not None and t.temperature is not None for t in read_run(run.folder).tasks)


@pytest.mark.parametrize("value", [0, -1.0, "hot", None, [], 1e999])
def test_temperatures_that_make_no_sense(finished: Callable[..., Finished], tmp_path: Path, value: object) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("classifier.safetensors", RECORD):
        (folder / name).write_bytes((finished("CoOp-CA").folder / name).read_bytes())
    record = read_record(folder / RECORD)
    record["tasks"][0]["temperature"] = value
    write_record(folder / RECORD, record)
    with pytest.raises(InputError, match="classifier.json"):
        read_bundle(folder)


@pytest.mark.parametrize("method", ["CoOp-CA", "LP-CLIP"])
def test_seeds(finished: Callable[..., Finished], method: str) -> None:
    """A merged head has the geometric mean; heads that stay apart have their own."""
    runs = [finished(method, seed) for seed in (1, 2)]
    own = [[task["temperature"] for task in run.results["tasks"]] for run in runs]
    together = Classifier.load(*(run.folder for run in runs))
    if len(together.heads) == 1:
        expected = [[(a * b) ** 0.5 for a, b in zip(*own, strict=True)]]
    else:
        expected = own
    assert len(together.temperatures) == len(together.heads)
    for got, wanted in zip(together.temperatures, expected, strict=True):
        assert got == pytest.approx(wanted)
