"""What methods share that are fitted to features of un-augmented training images at once: no epochs, no text side.

Their learner has one row a class on the flat class axis, and an image's logits outside its own task do not count, so
that what is fitted to all tasks together is each task by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common.errors import InputError
from datasets.images import SeededImages
from trainers.engine.base import PromptTrainer


def accuracy(predicted: Tensor, label: Tensor, metric: str) -> float:
    """Share of right predictions: "A" over all samples, "C" the mean over the classes that have any."""
    right = predicted == label
    if metric == "A":
        return float(right.double().mean())
    total = torch.bincount(label)
    correct = torch.bincount(label[right], minlength=len(total)).double()
    return float((correct / total)[total > 0].mean())


def split_features(trainer: PromptTrainer, split: str) -> tuple[Tensor, Tensor]:
    """(images, d) features and (images,) flat class indices of the un-augmented images of "train" or "val".

    As the trainer's ``raw_features`` says; on its device; no rows when there are no such images.
    """
    data = trainer.dm.dataset
    items = data.train_x if split == "train" else data.val or []
    if not items:
        nothing = torch.empty(0, trainer.tower.text.feature_dim, device=trainer.device)
        return nothing, torch.empty(0, dtype=torch.long, device=trainer.device)
    images = SeededImages(trainer.cfg, items, transform=trainer.test_loader.dataset.transform)
    loader = trainer.cfg.DATALOADER
    batches = DataLoader(images, batch_size=loader.TEST.BATCH_SIZE, num_workers=loader.NUM_WORKERS)
    features, labels = zip(*trainer._test_batches(batches), strict=True)
    return torch.cat(features), torch.cat(labels)


class FittedTrainer(PromptTrainer):
    """Subclasses implement `build_learner` (a module: image features -> logits of all classes) and `fit`."""

    def fit(self) -> None:
        """Set the learner's tensors from `split_features`."""
        raise NotImplementedError

    @classmethod
    def tied_to(cls, cfg) -> str:
        return "classes"

    def check_cfg(self, cfg):
        super().check_cfg(cfg)
        if cfg.RESUME:
            raise InputError(f"{cfg.TRAINER.NAME} is fitted at once, there is nothing to resume; leave --resume out.")

    def class_prompts(self) -> list[list[int]]:
        return []

    def make_optimizer(self):
        return None, None

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda image_features, task: self.model(image_features)

    def train(self):
        """Fit, keep the fit as the checkpoint of epoch 1, test."""
        self.refuse_test_only()
        began = time.time()
        with torch.no_grad():
            self.fit()
        self.seconds["train"] += time.time() - began
        self.save_model(0, self.output_dir)
        if not self.cfg.TEST.NO_TEST:
            self.test()
