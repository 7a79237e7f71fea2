"""CLIP-Adapter: a small network after the frozen image tower (arXiv 2110.04544).

    A(x) = ReLU(W2 ReLU(W1 x))                      W1: feature_dim / 4 rows, W2: feature_dim rows; no biases
    x' = ratio A(x) + (1 - ratio) x                 ratio = 0.2              (paper, section 3.2)
    logits = exp(logit_scale) x cosine(x', feature of the task's template)

x is the image feature. Ours has unit norm, the public code's has the norm that the tower gives it. Without biases x' is
proportional to the norm of x, so the cosine and all gradients are the same, and the feature bank can be used. On a
collection every task has its own adapter and is trained on its own. An adapter has feature_dim^2 / 2 parameters: 0.524
million on RN50, as published.

After github.com/gaopengcuhk/CLIP-Adapter, which is run with CoOp's configs: SGD, learning rate 0.002, batches of 32,
the recipe that our shared configs have.

Deviations: the ratio is 0.2 for all data sets, as in the public code; the paper searches it for each data set. The
adapter of text features, the paper's second variant, is left out, as in the public code. Adapters are in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import AdapterHead
from classifier.questions import Questions, TemplateQuestions
from common.errors import InputError
from common.knobs import Knob
from prompting.adapters import Adapter
from trainers.engine.task_trainer import TaskTrainer


@TRAINER_REGISTRY.register()
class ClipAdapter(TaskTrainer):
    """An adapter of image features per task, each task trained on its own."""

    model: nn.ModuleList

    @property
    def adapters(self) -> Sequence[Adapter]:
        """One adapter per task: ``self.model``, typed by its elements."""
        return cast("Sequence[Adapter]", self.model)

    section = "CLIPADAPTER"
    KNOBS = (
        Knob("RATIO", 0.2, "share of the adapter's output in an image's feature", least=0, most=1),
        Knob("REDUCTION", 4, "the adapter's hidden layer has feature_dim / REDUCTION units", least=1),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> nn.ModuleList:
        k, width = self.knobs, self.tower.text.feature_dim
        if k.REDUCTION > width:
            raise InputError(
                f"TRAINER.CLIPADAPTER.REDUCTION is {k.REDUCTION}; it must be at most {width}, the width of features."
            )
        return nn.ModuleList(Adapter(width, k.REDUCTION, k.RATIO) for _ in self.layout.tasks)

    def task_logits(self, task: int, image_features: Tensor) -> Tensor:
        """(batch, feature_dim) -> (batch, classes of the task): the equations above."""
        classes = self.layout.classes_of(task)
        text_features = self.handwritten_features[classes.start : classes.stop]
        return self.logits(self.adapters[task](image_features), text_features)

    def head(self) -> AdapterHead:
        scale, reduction = self.tower.logit_scale, self.knobs.REDUCTION
        return AdapterHead(self.layout, self.handwritten_features, scale, list(self.adapters), reduction)

    def questions(self) -> Questions:
        return TemplateQuestions(self.trained_tasks)

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.task_by_task(image_features, task, self.task_logits)
        return F.cross_entropy(logits, label), logits, label
