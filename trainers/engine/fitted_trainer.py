"""Methods that are fitted to the features of un-augmented training images in one go: no epochs, no text features.

Their learner has one row per class on the flat class axis. Logits outside an image's own task are ignored, so fitting
all tasks together fits each task on its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from common.errors import InputError
from datasets.images import SeededImages
from trainers.engine.image_trainer import images_of
from trainers.engine.task_trainer import TaskTrainer


def accuracy(predicted: Tensor, label: Tensor, metric: str) -> float:
    """Return the share of correct predictions: "A" over all samples, "C" the mean over classes that have samples."""
    correct = predicted == label
    if metric == "A":
        return float(correct.double().mean())
    total = torch.bincount(label)
    hits = torch.bincount(label[correct], minlength=len(total)).double()
    return float((hits / total)[total > 0].mean())


def split_features(trainer: TaskTrainer, split: str) -> tuple[Tensor, Tensor]:
    """Return the (images, d) features and (images,) flat class indices of the un-augmented "train" or "val" images.

    Features are on the trainer's device, and normalised unless it uses raw features. Without such images there are no
    rows.
    """
    data = trainer.dm.dataset
    items = data.train_x if split == "train" else data.val or []
    if not items:
        features = torch.empty(0, trainer.tower.text.feature_dim, device=trainer.device)
        return features, torch.empty(0, dtype=torch.long, device=trainer.device)
    assert trainer.test_loader is not None
    images = SeededImages(trainer.cfg, items, transform=images_of(trainer.test_loader).transform)
    loader = trainer.cfg.DATALOADER
    batches: DataLoader = DataLoader(images, batch_size=loader.TEST.BATCH_SIZE, num_workers=loader.NUM_WORKERS)
    parts, labels = zip(*trainer.test_batches(batches), strict=True)
    return torch.cat(parts), torch.cat(labels)


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
