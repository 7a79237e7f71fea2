"""Finished runs of every method, each trained once, and the images that they were tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.training import SETTINGS, Workplace
from trainers.engine.task_trainer import TaskTrainer

ONE_OF_EACH_KIND = ("CoOp-CA", "LP-CLIP", "Tip-Adapter", "CLIP-Adapter", "PLOT", "MaPLe", "CLIP-LoRA", "CoCoOp")


@dataclass
class Finished:
    """A finished run: its folder, its results, and what it predicted for each test image."""

    folder: Path
    results: dict[str, Any]
    images: list[str]
    label: Tensor  # (images,) flat class indices
    predicted: Tensor
    confidence: Tensor
    head: Any


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("classifier"), checkpoint)
    place.give_classes_colours()
    return place


@pytest.fixture(scope="session")
def finished(place: Workplace) -> Callable[..., Finished]:
    """A function: method, seed, settings -> its finished run."""

    @cache
    def trained(method: str, seed: int, words: tuple[str, ...]) -> Finished:
        trainers: list[Any] = []
        report = TaskTrainer.report

        def watched(self: TaskTrainer) -> dict[str, Any]:
            trainers.append(self)
            return report(self)

        name = "-".join([method, str(seed), *(word.replace("/", "_")[-40:] for word in words)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TaskTrainer, "report", watched)
            results = place.run(method, name, *SETTINGS.get(method, ()), *words, seed=seed, epochs=2)
        (trainer,) = trainers
        label, predicted, confidence = (torch.cat(part) for part in zip(*trainer.evaluator._processed, strict=True))
        images = [item.impath for item in trainer.dm.dataset.test]
        return Finished(place.output / name, results, images, label, predicted, confidence, trainer.tested_head)

    return lambda method, seed=1, words=(): trained(method, seed, words)
