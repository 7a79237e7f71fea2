"""Runs that are trained on every image (DATASET.ALL_IMAGES): nothing is tested, and the classifier is there."""

from __future__ import annotations

import math

import pytest

from classifier import Classifier
from common.files import read_record
from runs.results import read_run
from tests.support.training import SETTINGS, Workplace, workplace

__all__ = ["workplace"]
WORDS = ("DATASET.ALL_IMAGES", "True")


@pytest.mark.parametrize("method", ["ZeroshotCLIP", "LP-CLIP", "Tip-Adapter-F", "SoftCPT-NATA", "CLIP-LoRA"])
def test_every_image_is_trained_on_and_none_tested(workplace: Workplace, method: str) -> None:
    results = workplace.run(method, "run", *SETTINGS.get(method, ()), *WORDS, epochs=1)
    assert results["mean"] is None and {task["accuracy"] for task in results["tasks"]} == {None}
    assert results["counts"]["train_images"] == 50 and results["counts"]["val_images"] == 0
    folder = workplace.output / "run"
    assert read_record(folder / "results.json")["finished"]  # strict JSON
    assert math.isnan(read_run(folder).mean)
    assert all(
        "accuracy" not in task and "ece" not in task for task in read_record(folder / "classifier.json")["tasks"]
    )
    assert [task.name for task in Classifier.load(folder).layout.tasks] == ["kind of flower", "colour"]
    assert (
        workplace.run(method, "run", *SETTINGS.get(method, ()), *WORDS, epochs=1) == results
    )  # reported, not repeated
