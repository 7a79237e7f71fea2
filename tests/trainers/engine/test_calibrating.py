"""Which validation images a run's temperatures are from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from prompting.tasks import Task, TaskLayout
from tests.support.training import Workplace
from trainers.engine import calibrating
from trainers.engine.calibrating import Temperature, by_task, fitted, some_of, taken_over

LAYOUT = TaskLayout((Task("a", ("x", "y")), Task("b", ("x", "y", "z")), Task("one", ("x",))))


def test_images_by_task() -> None:
    inf = float("inf")
    first = torch.tensor([[1, 0, -inf, -inf, -inf, -inf], [-inf, -inf, 1, 2, 3, -inf]])
    second = torch.tensor([[0, 4, 9, 9, 9, 9.0]])  # what a head says of other tasks is left out
    a, b, one = by_task([(first, torch.tensor([1, 4])), (second, torch.tensor([0]))], LAYOUT)
    assert a[0].tolist() == [[1, 0], [0, 4]] and a[1].tolist() == [1, 0]
    assert b[0].tolist() == [[1, 2, 3]] and b[1].tolist() == [2]
    assert one[0].shape == (0, 1) and len(one[1]) == 0


def test_the_record_says_what_a_temperature_is_from() -> None:
    logits = torch.tensor([[3.0, 0, -1, -1, -1, -1]] * 4)
    found = fitted(by_task([(logits, torch.tensor([0, 0, 1, 1]))], LAYOUT), LAYOUT)
    assert [one.source for one in found] == [
        "4 validation images", "no validation images of its own; those of the other tasks", "one class"
    ]  # fmt: skip
    assert found[0].value > found[1].value > 1 == found[2].value  # the common one is pulled towards 1
    assert {one[:2] for one in fitted(by_task([], LAYOUT), LAYOUT)[:2]} == {(1.0, "no validation images")}


def test_another_run_s() -> None:
    a, b, one = taken_over({"a": Temperature(2.0, "5 images"), "gone": Temperature(8.0, "")}, LAYOUT)
    assert a == (2, "5 images") and b.value == one.value == pytest.approx(4)


def test_not_more_images_than_needed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    loader: Any = workplace.trainer("CoOp-CA").val_loader
    images = loader.dataset
    assert some_of(loader) is loader
    monkeypatch.setattr(calibrating, "MOST", 3)
    fewer: Any = some_of(loader).dataset
    assert [(item.domain, item.label) for item in fewer.data_source] == [
        (0, 0), (0, 1), (0, 2), (1, 3), (1, 3), (1, 4)
    ]  # fmt: skip
    assert fewer.transform is images.transform
