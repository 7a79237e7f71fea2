"""Methods that are fitted to the features of un-augmented training images in one go: no epochs, no text features.

Their learner has one row per class on the flat class axis. Logits outside an image's own task are ignored, so fitting
all tasks together fits each task on its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from yacs.config import CfgNode

from common.errors import InputError
from trainers.engine.task_trainer import TaskTrainer


def accuracy(predicted: Tensor, label: Tensor, metric: str) -> float:
    """Return the share of correct predictions: "A" over all samples, "C" the mean over classes that have samples."""
    correct = predicted == label
    if metric == "A":
        return float(correct.double().mean())
    total = torch.bincount(label)
    hits = torch.bincount(label[correct], minlength=len(total)).double()
    return float((hits / total)[total > 0].mean())


class FittedTrainer(TaskTrainer):
    """A trainer without epochs.

    Subclasses implement `build_learner` (a module: image features -> logits of all classes), `fit` and `head`.
    """

    def fit(self) -> None:
        """Set the learner's tensors from `split_features`."""
        raise NotImplementedError

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.RESUME:
            raise InputError(f"{cfg.TRAINER.NAME} is fitted in one go, so there is nothing to resume; omit --resume.")

    def make_optimizer(self) -> tuple[None, None]:
        return None, None

    def trained_in_steps(self) -> bool:
        return False

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        if type(self).head is not TaskTrainer.head:
            return super().classifier()
        return lambda image_features, task: self.model(image_features)

    def train(self) -> None:
        self.train_at_once(self.fit)
