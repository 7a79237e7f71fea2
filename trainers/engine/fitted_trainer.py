"""Methods that are fitted to features of un-augmented training images at once: no epochs, no text side.

Their learner has one row a class on the flat class axis. An image's logits outside its own task are ignored, so a fit
to all tasks together fits each task on its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from common.errors import InputError
from datasets.images import SeededImages
from trainers.engine.task_trainer import TaskTrainer, images_of


def accuracy(predicted: Tensor, label: Tensor, metric: str) -> float:
    """Share of correct predictions: "A" over all samples, "C" the mean over the classes that have any."""
    right = predicted == label
    if metric == "A":
        return float(right.double().mean())
    total = torch.bincount(label)
    correct = torch.bincount(label[right], minlength=len(total)).double()
    return float((correct / total)[total > 0].mean())


def split_features(trainer: TaskTrainer, split: str) -> tuple[Tensor, Tensor]:
    """(images, d) features and (images,) flat class indices of the un-augmented images of "train" or "val".

    Normalised unless the trainer asks for raw features; on its device; no rows if there are no such images.
    """
    data = trainer.dm.dataset
    items = data.train_x if split == "train" else data.val or []
    if not items:
        nothing = torch.empty(0, trainer.tower.text.feature_dim, device=trainer.device)
        return nothing, torch.empty(0, dtype=torch.long, device=trainer.device)
    assert trainer.test_loader is not None
    images = SeededImages(trainer.cfg, items, transform=images_of(trainer.test_loader).transform)
    loader = trainer.cfg.DATALOADER
    batches: DataLoader = DataLoader(images, batch_size=loader.TEST.BATCH_SIZE, num_workers=loader.NUM_WORKERS)
    features, labels = zip(*trainer.test_batches(batches), strict=True)
    return torch.cat(features), torch.cat(labels)


class FittedTrainer(TaskTrainer):
    """Subclasses implement `build_learner` (a module: image features -> logits of all classes) and `fit`."""

    def fit(self) -> None:
        """Set the learner's tensors from `split_features`."""
        raise NotImplementedError

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.RESUME:
            raise InputError(f"{cfg.TRAINER.NAME} is fitted at once, there is nothing to resume; leave --resume out.")

    def make_optimizer(self) -> tuple[None, None]:
        return None, None

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda image_features, task: self.model(image_features)

    def train(self) -> None:
        self.train_at_once(self.fit)
