"""What MaPLe and PromptSRC share: prompts in both towers, at the input and before some of the further blocks.

On a collection every task has prompts of its own and is trained by itself. An image's feature depends on its task's
prompts, so the feature bank cannot hold it: pixels come through to `class_logits`, which encodes them task by task.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from common.errors import InputError
from prompting.losses import unit
from prompting.prompts import bounded
from prompting.vision_prompts import PromptedVision
from trainers.engine.contexts import PromptLearner, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer


class DeepPrompts(PromptLearner):
    """Prompts of both towers for every task."""

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task

    def text_prompts(self, task: int) -> Tensor:
        """(depth, n_ctx, ctx_dim): the context, and what replaces it before the blocks 1 .. depth - 1."""
        raise NotImplementedError

    def vision_prompts(self, task: int) -> Tensor:
        """(depth, n, width): behind the image's patches, and what replaces them before the blocks 1 .. depth - 1."""
        raise NotImplementedError

    def n_tasks(self) -> int:
        raise NotImplementedError

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        return self.layers(tasks)[0]

    def layers(self, tasks: Sequence[int]) -> Tensor:
        """(depth, tasks, n_ctx, ctx_dim): the contexts of all tasks, and what replaces them; only those of ``tasks``
        carry gradients."""
        used = set(tasks)
        every = (self.text_prompts(t) if t in used else self.text_prompts(t).detach() for t in range(self.n_tasks()))
        return torch.stack(list(every), dim=1)


class DeepPromptTrainer(PromptTrainer):
    """A trainer of `DeepPrompts`. Subclasses say in ``depth_keys`` which knobs hold a depth, and of which tower."""

    model: DeepPrompts
    depth_keys: dict[str, tuple[str, ...]]  # knob -> the towers ("text", "image") in which it counts blocks

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_bank(cls, cfg: CfgNode) -> bool:
        return False

    def build_learner(self) -> DeepPrompts:
        self.vision = PromptedVision(self.tower)
        blocks = {"text": len(self.tower.text.blocks), "image": self.vision.layers}
        for key, towers in self.depth_keys.items():
            for side in towers:
                if not 1 <= self.knobs[key] <= blocks[side]:
                    raise InputError(
                        f"TRAINER.{self.section}.{key} is {self.knobs[key]}, but the {side} tower of "
                        f"'{self.tower.name}' has {blocks[side]} blocks; it must be from 1 to that."
                    )
        return self.build_prompts()

    def build_prompts(self) -> DeepPrompts:
        """The method's learner; ``self.vision`` is there besides what `build_learner` finds."""
        raise NotImplementedError

    # -- text --

    def first_words(self, n_ctx: int) -> tuple[Tensor | None, list[int]]:
        """What ``n_ctx`` context vectors start from and the tokens that stay between context and name.

        CTX_INIT's first ``n_ctx`` tokens become vectors, its others stay words, as in the public code up to 4 vectors;
        where it has fewer than ``n_ctx``, vectors start from noise and no word is left.
        """
        text, words = self.tower.text, self.knobs.CTX_INIT.replace("_", " ").strip()
        vectors = word_vectors(text, words)
        if vectors is None or len(vectors) < n_ctx:
            return None, []
        return vectors[:n_ctx], text.vocabulary.encode(words)[n_ctx:]

    def class_prompts(self) -> list[list[int]]:
        """``[SOS] context, CTX_INIT's other words, name . [EOT]``."""
        n_ctx, vocabulary, names = self.model.n_ctx, self.tower.text.vocabulary, self.layout.classnames
        _, words = self.first_words(n_ctx)
        return [
            bounded(vocabulary, [*prompt[1 : 1 + n_ctx], *words, *prompt[1 + n_ctx : -1]], name)
            for prompt, name in zip(super().class_prompts(), names, strict=True)
        ]

    def text_features(self, tasks, classes=None):
        packed, columns = self.packed(tasks)
        contexts, *deep = self.model.layers(tasks)
        return unit(self.encode(self.tower.text, packed, contexts, deep)), columns

    # -- images --

    def encode_images(self, images: Tensor) -> Tensor:
        """The pixels, as they are: whose prompts they go with is known in `class_logits`."""
        return images

    def prompted(self, images: Tensor, task: int) -> Tensor:
        """(images, feature_dim) of unit norm, encoded with a task's prompts."""
        return self.vision(images, self.model.vision_prompts(task))

    def class_logits(self, images, task, text=None):
        w, columns = text or self.text_features(self.tasks_to_encode(task))

        def of_task(index: int, mine: Tensor) -> Tensor:
            return self.logits(self.prompted(mine, index), w[self.task_of_class[columns] == index])

        logits = self.task_by_task(images, task, of_task)
        return logits, torch.arange(self.layout.n_classes, device=self.device)
