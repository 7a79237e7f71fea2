"""The finished runs of several seeds as one classifier, measured on the test split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from yacs.config import CfgNode

from classifier.bundle import check_seeds, read_bundle
from classifier.classifier import Classifier
from classifier.heads import FEATURES, RAW, read
from prompting.losses import unit
from prompting.transfers import sent
from trainers.engine.evaluator import TaskEvaluator
from trainers.engine.image_trainer import TEST_ROWS, ImageTrainer, images_of


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(None), torch.no_grad():
        yield


def measured(cfg: CfgNode, folders: Sequence[Path], may_encode: bool) -> list[dict[str, Any]] | None:
    """Measure the accuracy and the calibration error of some runs as one classifier, in percent.

    Args:
        cfg: the settings of one of them.
        folders: of finished runs that differ in the seed alone.
        may_encode: whether images, or texts for each image, may be encoded. Without it, features of the test images
            have to be in the bank, and have to be all that the method reads.

    Returns:
        For each task its "name", "metric", "accuracy" and "ece"; None if that needs what it may not do.

    Raises:
        InputError: a run cannot be read, or the runs are not seeds of one command.
    """
    with _quiet():
        bundles = [read_bundle(folder) for folder in folders]
        check_seeds(bundles)
        trainer = _tests(_Key(cfg))
        classifier = Classifier.of(bundles, trainer.tower)
        banked = (
            trainer.uses_bank(cfg) and cfg.BANK.TEST and {head.reads for head in classifier.heads} <= {FEATURES, RAW}
        )
        plain = banked and not any(head.needs_text for head in classifier.heads)
        if not may_encode and not (plain and trainer.features.stored(images_of(trainer.test_loader))):
            return None
        evaluator = TaskEvaluator(cfg, trainer.layout)
        for inputs, label in _inputs(trainer, classifier, banked):
            evaluator.process(_logits(classifier, inputs, label), label)
    keys = ("name", "metric", "accuracy")
    errors = (ece for ece, _ in evaluator.calibration())
    return [
        {**{key: task[key] for key in keys}, "ece": ece} for task, ece in zip(evaluator.per_task(), errors, strict=True)
    ]


class _Key:
    """Settings, equal to others with the same tower and the same test images as the tower is shown them."""

    def __init__(self, cfg: CfgNode):
        self.cfg = cfg
        data = cfg.DATASET.clone()
        data.defrost()
        data.pop("NUM_SHOTS", None)
        section = TRAINER_REGISTRY.get(cfg.TRAINER.NAME).section
        self.text = f"{cfg.MODEL}{cfg.INPUT}{data}{cfg.BANK}{cfg.TRAINER[section].PREC}{cfg.USE_CUDA}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=1)
def _tests(key: _Key) -> ImageTrainer:
    """Return a trainer that has the tower and the images, and nothing that learns."""
    kind = TRAINER_REGISTRY.get(key.cfg.TRAINER.NAME)
    bare = type(kind.__name__, (kind,), {"build_model": lambda self: None})
    return bare(key.cfg)


def _inputs(trainer: ImageTrainer, classifier: Classifier, banked: bool) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Yield what the heads read of the test images, in batches, and their (B,) flat class indices."""
    if banked:
        images = images_of(trainer.test_loader)
        features = trainer.features.fixed(images, trainer.watch.encoding)
        labels = torch.tensor([item.label for item in images.data_source])
        for part, label in zip(features.split(TEST_ROWS), labels.split(TEST_ROWS), strict=True):
            part = sent(part, trainer.device)
            yield {FEATURES: unit(part), RAW: part}, label
        return
    reads = {head.reads for head in classifier.heads}
    for batch in trainer.test_loader:
        pixels = sent(batch["img"], trainer.device)
        yield {what: read(trainer.tower, pixels, what) for what in reads}, batch["label"]


def _logits(classifier: Classifier, inputs: dict[str, Tensor], label: Tensor) -> Tensor:
    """Return (B, classes) logarithms of the probabilities of each image's task, -inf elsewhere."""
    layout = classifier.layout
    found, tasks = torch.full((len(label), layout.n_classes), -torch.inf), layout.task_of_class[label]
    for task in tasks.unique().tolist():
        classes, mine = layout.classes_of(task), (tasks == task).nonzero().squeeze(1)
        of_task = {what: values[mine.to(values.device)] for what, values in inputs.items()}
        (answers,) = classifier.answer_read(of_task, [task]).per_task
        found[mine, classes.start : classes.stop] = answers.probabilities.log()
    return found
