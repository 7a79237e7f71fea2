"""Temperatures against a search over a grid, and calibration errors by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from classifier import calibration
from classifier.calibration import (
    BOUNDS,
    calibration_error,
    expected_calibration_error,
    merged_temperature,
    temperature_of,
    temperatures_of,
)


def sampled(n: int, classes: int, temperature: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are right about their labels after division by ``temperature``."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return temperature * logits, labels


def objective(logits: Tensor, labels: Tensor, temperature: float, common: float, pull: float) -> float:
    loss = torch.nn.functional.cross_entropy(logits.double() / temperature, labels, reduction="sum")
    return float(loss) + pull * (common / temperature + math.log(temperature))


@pytest.mark.parametrize(
    ("n", "classes", "common", "pull"),
    [(400, 5, 1.0, 0.0), (400, 5, 3.0, 20.0), (12, 3, 0.5, 2.0), (1, 2, 1.0, 1.0), (40, 100, 2.0, 5.0)],
)
def test_it_is_the_best_of_a_grid(n: int, classes: int, common: float, pull: float) -> None:
    logits, labels = sampled(n, classes, 2.5)
    grid = torch.linspace(math.log(BOUNDS[0]), math.log(BOUNDS[1]), 20_001, dtype=torch.float64).exp().tolist()
    best = min(grid, key=lambda t: objective(logits, labels, t, common, pull))
    assert temperature_of(logits, labels, common, pull) == pytest.approx(best, rel=5e-4)


def test_many_images_give_the_temperature_that_they_were_drawn_with() -> None:
    for wanted in (0.3, 1.0, 6.0):
        logits, labels = sampled(20_000, 6, wanted)
        for dtype in (torch.float64, torch.float32):
            assert temperature_of(logits.to(dtype), labels) == pytest.approx(wanted, rel=0.05)


def test_logits_on_another_scale_or_with_an_offset() -> None:
    logits, labels = sampled(50, 4, 1.0)
    plain = temperature_of(logits, labels, pull=0)
    assert temperature_of(3 * logits, labels, pull=0) == pytest.approx(3 * plain, rel=1e-9)
    assert temperature_of(logits + 1e4, labels, pull=0) == pytest.approx(plain, rel=1e-6)
    assert temperature_of(logits.half(), labels) == pytest.approx(temperature_of(logits, labels), rel=1e-2)


def test_all_right_and_all_wrong() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.0, 4.0], [3.0, 1.0]])
    right = logits.argmax(1)
    assert temperature_of(logits, right, pull=0) == pytest.approx(BOUNDS[0])
    assert temperature_of(logits, 1 - right, pull=0) == pytest.approx(BOUNDS[1])
    assert 0.3 < temperature_of(logits, right) < 1 < temperature_of(logits, 1 - right) < BOUNDS[1]


def test_images_that_say_nothing() -> None:
    none = torch.empty(0, 3), torch.empty(0, dtype=torch.long)
    single = torch.randn(7, 1), torch.zeros(7, dtype=torch.long)
    flat = torch.full((7, 3), 2.0), torch.zeros(7, dtype=torch.long)
    for logits, labels in (none, single, flat):
        for pull in (0.0, 2.0):
            assert temperature_of(logits, labels, 1.7, pull) == pytest.approx(1.7)
    assert temperatures_of([none, single, flat]) == pytest.approx([1, 1, 1])


def test_logits_that_are_not_finite() -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="finite"):
            temperature_of(torch.tensor([[value, 0.0]]), torch.tensor([0]))


def test_few_images_are_pulled_towards_the_other_tasks() -> None:
    many, few = sampled(5000, 4, 3.0), sampled(6, 4, 0.5, seed=1)
    none = torch.empty(0, 2), torch.empty(0, dtype=torch.long)
    first, second, third = temperatures_of([many, few, none])
    assert first == pytest.approx(temperature_of(*many, pull=0), rel=1e-2) and third == pytest.approx(first, rel=1e-2)
    assert temperature_of(*few, pull=0) < second < third
    assert temperatures_of([many, few], pull=1e9)[1] == pytest.approx(1.0, rel=1e-3)  # all towards 1


def test_merged() -> None:
    assert merged_temperature([2.0, 0.5]) == pytest.approx(1.0) and merged_temperature([3.0]) == pytest.approx(3.0)


def test_an_error_by_hand() -> None:
    """Two bins of four: 0.55 twice, one right, and 0.95 twice, both right."""
    probabilities = torch.tensor([[0.55, 0.45], [0.45, 0.55], [0.95, 0.05], [0.05, 0.95]])
    labels = torch.tensor([0, 0, 0, 1])
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.05 + 0.05) / 2)
    one_bin = expected_calibration_error(probabilities, labels, bins=1)
    assert one_bin == pytest.approx(abs(0.75 - 0.75))


def test_errors_at_the_ends() -> None:
    sure = torch.tensor([1.0, 1.0]), torch.tensor([True, True])
    assert calibration_error(*sure) == 0
    assert calibration_error(sure[0], ~sure[1]) == 1
    assert calibration_error(torch.zeros(3), torch.zeros(3, dtype=torch.bool)) == 0
    assert math.isnan(calibration_error(torch.empty(0), torch.empty(0, dtype=torch.bool)))


def test_a_bin_has_its_upper_bound() -> None:
    """0.5 is in the first of two bins, so its error does not cancel with that of the second."""
    confidence, correct = torch.tensor([0.5, 0.75]), torch.tensor([True, False])
    assert calibration_error(confidence, correct, bins=2) == pytest.approx((0.5 + 0.75) / 2)
    assert calibration_error(confidence, correct, bins=1) == pytest.approx(abs(1 - 1.25) / 2)


def test_what_was_drawn_from_its_own_probabilities_is_calibrated() -> None:
    logits, labels = sampled(50_000, 3, 4.0)
    assert expected_calibration_error((logits / 4).softmax(1), labels) < 0.01
    assert expected_calibration_error(logits.softmax(1), labels) > 0.1


def test_the_slope_is_that_of_the_objective() -> None:
    """The derivative that is bisected has its root where the objective is flat."""
    logits, labels = sampled(30, 4, 1.5)
    best = temperature_of(logits, labels, 1.2, 3.0)
    beta = torch.tensor(1 / best, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(beta * logits, labels, reduction="sum")
    (loss + 3.0 * (beta * 1.2 - beta.log())).backward()
    assert beta.grad is not None and abs(float(beta.grad)) < 1e-8
    assert calibration.PULL > 0
