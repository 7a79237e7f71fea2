"""Training prompts: a method is contexts + loss, and everything else is here and in the task trainer.

A prompt method builds the source of its context vectors in `build_learner` and may override `loss`. Prompts are laid
out and encoded here, for all methods.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from yacs.config import CfgNode

from classifier.heads import Head, LinearHead
from classifier.questions import ContextQuestions, Questions
from common.notices import notice
from prompting.losses import unit, within_task
from prompting.prompts import class_prompts
from prompting.text_encoder import Packed, encode, encode_whole, pack_for
from prompting.text_tower import TextTower
from prompting.transfers import on_host, upload
from trainers.engine.contexts import ClassContextTable, ContextTable, PromptLearner
from trainers.engine.inspection import describe
from trainers.engine.saved_prompts import adopt, is_foreign
from trainers.engine.task_trainer import TaskTrainer
from trainers.engine.tasks_of_batch import tasks_of

ENCODE_ALL_SHARE = 0.7  # if a batch's tasks have this share of all classes, all classes are encoded
MAX_PACKED = 64  # sets of tasks whose packed prompts are kept


class PromptTrainer(TaskTrainer):
    """Trains a `PromptLearner`."""

    model: PromptLearner

    @classmethod
    def carries_residual(cls, cfg: CfgNode) -> bool:
        return cls.head is PromptTrainer.head and not cls._has_own_logits()

    def build_learner(self) -> PromptLearner:
        raise NotImplementedError

    def build_model(self) -> None:
        super().build_model()
        compiled = self.cfg.MODEL.COMPILE and isinstance(self.tower.text, TextTower)
        if self.cfg.MODEL.COMPILE and not compiled:
            notice(f"MODEL.COMPILE is ignored: {self.tower.text.path}")
        self.encode = partial(encode, compiled=torch.compile(encode_whole)) if compiled else encode
        self._prompts = self.class_prompts()
        self._packed: dict[tuple[int, ...], tuple[Packed, Tensor]] = {}

    def class_prompts(self) -> list[list[int]]:
        """Return the prompts of all classes, in flat order."""
        learner, names = self.model, self.layout.classnames
        contexts = [learner.context_of_class(t, c) for c, t in enumerate(self.layout.task_of_class.tolist())]
        vocabulary = self.tower.text.vocabulary
        return class_prompts(vocabulary, names, contexts, learner.n_ctx, learner.position, self.words_before_names())

    def words_before_names(self) -> list[int]:
        """Return the tokens of all prompts that stay between context and name; none for most methods."""
        return []

    def parameters_in(self, path: Path | str) -> tuple[dict[str, Tensor], int | None]:
        saved, epoch = super().parameters_in(path)
        if is_foreign(saved, self.model):
            saved = adopt(saved, self.model, self.tower.text, self.layout.classnames, path)
        return saved, epoch

    # -- text --

    def packed(self, tasks: Sequence[int]) -> tuple[Packed, Tensor]:
        """Return the packed prompts of some tasks' classes, and their (n,) flat class indices; cached."""
        key = tuple(tasks)
        if key not in self._packed:
            if len(self._packed) > MAX_PACKED:  # with many tasks and small batches, most sets never occur again
                self._packed.clear()
            columns = self.layout.classes_of_all(tasks)
            packed = self.pack_classes(columns)
            self._packed[key] = packed.to(self.device), upload(columns, self.device)
        return self._packed[key]

    def pack_classes(self, columns: Sequence[int]) -> Packed:
        """Pack the prompts of some classes: one per class, unless a method overrides this."""
        return pack_for(self.tower.text, [self._prompts[column] for column in columns])

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Return (n, feature_dim) float32 features of unit norm of some tasks' classes, and (n,) flat class indices.

        ``classes``, in ascending order, selects some of the tasks' classes.
        """
        if classes is None:
            packed, columns = self.packed(tasks)
            contexts = self.model.contexts(tasks) if self.model.n_ctx else None
        else:
            packed = self.pack_classes(classes).to(self.device)
            columns = upload(classes, self.device)
            contexts = self.model.contexts(tasks, classes)
        return unit(self.encode(self.tower.text, packed, contexts)), columns

    @property
    def batch_has_one_task(self) -> bool:
        """True if every batch of the current epoch comes from a single task."""
        return self.one_task_batches(self.cfg)

    @cached_property
    def all_classes(self) -> Tensor:
        """(n_classes,) all flat class indices."""
        return upload(range(self.layout.n_classes), self.device)

    def columns_of(self, task: int, columns: Tensor) -> slice:
        """Return the place of a task's classes among ascending flat class indices."""
        here, classes = on_host(columns), self.layout.classes_of(task)
        return slice(bisect_left(here, classes.start), bisect_left(here, classes.stop))

    def tasks_to_encode(self, task: Tensor) -> list[int]:
        """Return the tasks of a batch; or all tasks if few are missing, since packing another set would cost more."""
        tasks = tasks_of(task)
        enough = len(self.layout.classes_of_all(tasks)) >= ENCODE_ALL_SHARE * self.layout.n_classes
        return list(range(len(self.layout))) if enough and not self.batch_has_one_task else tasks

    def classes_to_encode(self, label: Tensor, task: Tensor) -> list[int] | None:
        """Return the classes that a batch trains on, in ascending order; None for all classes of its tasks."""
        return None

    # -- logits and loss --

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (batch, n) logits, -inf outside each image's own task, and the (n,) flat class indices of the columns.

        ``text`` is a result of `text_features`; without it, the text features of the batch's tasks are computed.
        """
        text_features, columns = text or self.text_features(self.tasks_to_encode(task))
        return within_task(self.logits(image_features, text_features), task, self.task_of_class[columns]), columns

    def head(self) -> Head:
        features, _ = self.text_features(range(len(self.layout)))
        return LinearHead(self.layout, features, self.tower.logit_scale)

    def questions(self) -> Questions | None:
        """As in `TaskTrainer`: with the contexts of a plain table, unless a subclass writes prompts in its own way."""
        learner = self.model
        ways = ("class_prompts", "pack_classes", "text_features", "head")
        if not isinstance(learner, ContextTable) or isinstance(learner, ClassContextTable):
            return None
        if any(getattr(type(self), way) is not getattr(PromptTrainer, way) for way in ways):
            return None
        contexts = learner.contexts(range(len(self.layout)))
        return ContextQuestions(self.trained_tasks, contexts, learner.position)

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        if not self._has_own_logits():
            return super().classifier()
        text = self.text_features(range(len(self.layout)))
        return lambda image_features, task: self.class_logits(image_features, task, text)[0]

    @classmethod
    def _has_own_logits(cls) -> bool:
        """Return whether a subclass, such as a plug-in's, changes the logits and leaves `head` as it was before."""
        classes = cls.__mro__
        head, *logits = (
            next(place for place, kind in enumerate(classes) if name in vars(kind))
            for name in ("head", "class_logits", "logits")
        )
        return min(logits) < head

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        classes = self.classes_to_encode(label, task)
        text = None if classes is None else self.text_features(self.tasks_to_encode(task), classes)
        logits, columns = self.class_logits(image_features, task, text)
        column = torch.searchsorted(columns, label)
        return F.cross_entropy(logits, column), logits, column

    # -- the report --

    def contexts_learned(self) -> dict[str, Any] | None:
        return describe(self.model, self.layout, self.tower.text) if self.model.n_ctx else None
