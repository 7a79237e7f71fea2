"""Training prompts: a method is contexts + loss, everything else is here and in the task trainer.

A prompt method says in `build_learner` where its context vectors come from, and may override `loss`. Laying out
prompts and encoding them exist once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prompting.losses import unit, within_task
from prompting.prompts import lay_out
from prompting.text_encoder import PackedPrompts, encode, pack
from trainers.engine.contexts import PromptLearner
from trainers.engine.inspection import describe
from trainers.engine.task_trainer import TaskTrainer

ENCODE_ALL_FROM = 0.7  # a batch whose tasks have this share of all classes has all classes encoded
PACKED_SETS = 64  # sets of tasks whose packed prompts are kept


class PromptTrainer(TaskTrainer):
    """Trains a `PromptLearner`."""

    model: PromptLearner

    def build_learner(self) -> PromptLearner:
        raise NotImplementedError

    def build_model(self) -> None:
        super().build_model()
        self.encode: Callable[..., Tensor] = torch.compile(encode) if self.cfg.MODEL.COMPILE else encode
        self._prompts = self.class_prompts()
        self._packed: dict[tuple[int, ...], tuple[PackedPrompts, Tensor]] = {}

    def class_prompts(self) -> list[list[int]]:
        """The prompts of all classes, in flat order."""
        learner, vocabulary = self.model, self.tower.text.vocabulary
        tasks = self.layout.task_of_class.tolist()
        return [
            lay_out(vocabulary, name, learner.context_of_class(task, flat), learner.n_ctx, learner.position)
            for flat, (task, name) in enumerate(zip(tasks, self.layout.classnames, strict=True))
        ]

    # -- text --

    def packed(self, tasks: Sequence[int]) -> tuple[PackedPrompts, Tensor]:
        """The packed prompts of some tasks' classes and their (n,) flat class indices; laid out once a set of tasks."""
        key = tuple(tasks)
        if key not in self._packed:
            if len(self._packed) > PACKED_SETS:  # with many tasks and small batches most sets never come again
                self._packed.clear()
            columns = self.layout.classes_of_all(tasks)
            packed = self.pack_classes(columns)
            self._packed[key] = packed.to(self.device), torch.tensor(columns, device=self.device)
        return self._packed[key]

    def pack_classes(self, columns: Sequence[int]) -> PackedPrompts:
        """The packed prompts of some classes: one for each, unless the method says otherwise."""
        return pack([self._prompts[column] for column in columns])

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """(n, feature_dim) float32 features of unit norm of some tasks' classes, and their (n,) flat class indices.

        ``classes``, ascending: only these of the tasks' classes; the learner's ``contexts`` must accept them.
        """
        if classes is None:
            packed, columns = self.packed(tasks)
            contexts = self.model.contexts(tasks) if self.model.n_ctx else None
        else:
            packed = self.pack_classes(classes).to(self.device)
            columns = torch.tensor(classes, device=self.device)
            contexts = self.model.contexts(tasks, classes)
        return unit(self.encode(self.tower.text, packed, contexts)), columns

    @property
    def batch_has_one_task(self) -> bool:
        """True if the batches of the present epoch come from one task each."""
        return self.one_task_batches(self.cfg)

    def tasks_to_encode(self, task: Tensor) -> list[int]:
        """The tasks of a batch; all tasks if few are missing, since packing prompts again would cost more."""
        tasks = task.unique().tolist()
        enough = len(self.layout.classes_of_all(tasks)) >= ENCODE_ALL_FROM * self.layout.n_classes
        return list(range(len(self.layout))) if enough and not self.batch_has_one_task else tasks

    def classes_to_encode(self, label: Tensor, task: Tensor) -> list[int] | None:
        """For a method that trains on some of the tasks' classes: these, ascending. None: on all."""
        return None

    # -- logits and loss --

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(batch, n) logits, -inf outside each image's own task, and the (n,) flat class indices of their columns.

        ``text`` is a result of `text_features`; without it, that of the batch's tasks is computed.
        """
        text_features, columns = text or self.text_features(self.tasks_to_encode(task))
        return within_task(self.logits(image_features, text_features), task, self.task_of_class[columns]), columns

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        text = self.text_features(range(len(self.layout)))
        return lambda image_features, task: self.class_logits(image_features, task, text)[0]

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        classes = self.classes_to_encode(label, task)
        text = None if classes is None else self.text_features(self.tasks_to_encode(task), classes)
        logits, columns = self.class_logits(image_features, task, text)
        column = torch.searchsorted(columns, label)
        return F.cross_entropy(logits, column), logits, column

    # -- the report --

    def contexts_learned(self) -> dict[str, Any] | None:
        return describe(self.model, self.layout, self.tower.text) if self.model.n_ctx else None
