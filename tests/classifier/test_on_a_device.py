"""A classifier on a pretend device: no operation mixes devices, and a batch waits for the device once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from dassl.engine import TRAINER_REGISTRY

from classifier import Classifier
from common.catalogue import METHODS
from prompting.photographs import read_image
from tests.support.finished import ONE_OF_EACH_KIND, Finished
from tests.support.pretend_device import DEVICE, PretendDevice


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_answers_are_those_of_the_cpu(finished: Callable[..., Finished], method: str) -> None:
    section = TRAINER_REGISTRY.get(METHODS[method].trainer).section
    runs = [finished(method, seed, (f"TRAINER.{section}.PREC", "fp32")) for seed in (1, 2)]
    images = [read_image(path) for path in runs[0].images[:8]]
    folders = [run.folder for run in runs]
    here = Classifier.load(*folders)
    expected = here.predict(images)
    with PretendDevice() as device:
        there = Classifier.load(*folders, device=DEVICE)
        pixels = torch.stack([there.view(image) for image in images])
        there.answer(pixels)  # packs what later batches use again
        device.trips.clear()
        answers = there.answer(pixels)
        syncs = sum(number for trip, number in device.trips.items() if trip.kind == "sync")
    for got, wanted in zip(answers.per_task, expected.per_task, strict=True):
        torch.testing.assert_close(got.probabilities, wanted.probabilities, rtol=1e-4, atol=1e-5)
    iterations = 4 if method == "PLOT" else 0  # it asks whether Sinkhorn is done
    assert syncs <= 1 + iterations
