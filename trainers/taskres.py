"""TaskRes: task residual tuning (arXiv 2211.10277).

No prompt is learned and no tower moves. Each class's text feature t gets a learned residual x, which starts at zero:

    t' = t + alpha x                                          (paper, section 3.2)
    logits = exp(logit_scale) x cosine(image feature, t')

t is the feature of the task's template as the text tower gives it, not normalised. On a collection every task is
trained on its own, and an image is compared with its own task's classes. There are classes x feature_dim parameters:
1.024 million for ImageNet on RN50, as published.

After github.com/geekyutao/TaskRes: Adam, learning rate 0.002 and weight decay 5e-4, cosine, batches of 256, alpha 0.5.
The authors train 100 epochs at 1 to 4 shots, as configured here, and 200 at 8 and 16 shots: add OPTIM.MAX_EPOCH 200.
They also use alpha 1.0 for Flowers102, and learning rate 0.0002 for ImageNet.

Deviations from the public code: templates are the tasks' own (for ImageNet the code averages seven general ones with
it). The "enhanced base", a text projection that was tuned beforehand, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import LinearHead
from common.knobs import Knob
from prompting.losses import unit, within_task
from prompting.templates import template_prompts
from prompting.text_encoder import encode, pack_for
from prompting.transfers import upload
from trainers.engine.task_trainer import TaskTrainer
from trainers.engine.tasks_of_batch import tasks_of


@TRAINER_REGISTRY.register()
class TaskRes(TaskTrainer):
    """Residuals of the classes' text features, each task trained on its own."""

    model: nn.ParameterList

    section = "TASKRES"
    KNOBS = (Knob("ALPHA", 0.5, "weight of the residuals", above=0),)

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> nn.ParameterList:
        # A parameter per task, so that the optimiser leaves tasks alone that are not in the batch.
        width = self.tower.text.feature_dim
        return nn.ParameterList(torch.zeros(len(task.classnames), width) for task in self.layout.tasks)

    @cached_property
    def base_features(self) -> Tensor:
        """(classes, feature_dim) t, at least float32."""
        prompts = template_prompts(self.tower.text.vocabulary, self.layout)
        features = encode(self.tower.text, pack_for(self.tower.text, prompts).to(self.device))
        return features.to(torch.promote_types(features.dtype, torch.float32))

    def class_features(self, tasks: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(n, feature_dim) t' of some tasks' classes, of unit norm, and their (n,) flat class indices."""
        columns = upload(self.layout.classes_of_all(tasks), self.device)
        residuals = torch.cat([self.model[task] for task in tasks])
        return unit(self.base_features[columns] + self.knobs.ALPHA * residuals), columns

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, columns = self.class_features(tasks_of(task))
        logits = within_task(self.logits(image_features, features), task, self.task_of_class[columns])
        column = torch.searchsorted(columns, label)
        return F.cross_entropy(logits, column), logits, column

    def head(self) -> LinearHead:
        features, _ = self.class_features(range(len(self.layout)))
        return LinearHead(self.layout, features, self.tower.logit_scale)
