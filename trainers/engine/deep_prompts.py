"""What MaPLe and PromptSRC share: prompts in both towers, at the input and before some of the later blocks.

On a collection every task has prompts of its own and is trained on its own. An image's feature depends on its task's
prompts, so the feature bank cannot store it: `class_logits` receives pixels and encodes them task by task.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from classifier.heads import PromptedHead
from classifier.questions import ContextQuestions, Questions
from common.errors import InputError
from prompting.losses import unit
from prompting.text_encoder import blocks_of
from prompting.vision_prompts import PromptedVision
from trainers.engine.contexts import PromptLearner, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer


class DeepPrompts(PromptLearner):
    """Prompts of both towers for every task."""

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task

    def text_prompts(self, task: int) -> Tensor:
        """Return (depth, n_ctx, ctx_dim): the context, then its replacements before blocks 1 .. depth - 1."""
        raise NotImplementedError

    def vision_prompts(self, task: int) -> Tensor:
        """Return (depth, n, width): tokens after the patches, then their replacements before blocks 1 .. depth - 1."""
        raise NotImplementedError

    def n_tasks(self) -> int:
        raise NotImplementedError

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        return self.layers(tasks)[0]

    def layers(self, tasks: Sequence[int]) -> Tensor:
        """Return (depth, all tasks, n_ctx, ctx_dim): contexts and their replacements; only those of ``tasks`` carry
        gradients."""
        used = set(tasks)
        prompts = (self.text_prompts(t) if t in used else self.text_prompts(t).detach() for t in range(self.n_tasks()))
        return torch.stack(list(prompts), dim=1)


class DeepPromptTrainer(PromptTrainer):
    """A trainer of `DeepPrompts`. Subclasses list in ``depth_keys`` the knobs that hold a depth, and of which tower."""

    model: DeepPrompts
    depth_keys: dict[str, tuple[str, ...]]  # knob -> the towers ("text", "image") whose blocks it counts

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_bank(cls, cfg: CfgNode) -> bool:
        return False

    def build_learner(self) -> DeepPrompts:
        self.vision = PromptedVision(self.tower)
        blocks = {"text": len(blocks_of(self.tower.text, type(self).__name__)), "image": self.vision.layers}
        for key, towers in self.depth_keys.items():
            for side in towers:
                if not 1 <= self.knobs[key] <= blocks[side]:
                    raise InputError(
                        f"TRAINER.{self.section}.{key} is {self.knobs[key]}, but the {side} tower of "
                        f"'{self.tower.name}' has {blocks[side]} blocks; set it to a value from 1 to {blocks[side]}."
                    )
        return self.build_prompts()

    def build_prompts(self) -> DeepPrompts:
        """Build the method's learner. Besides what `build_learner` can use, ``self.vision`` is set."""
        raise NotImplementedError

    # -- text --

    def initial_context(self, n_ctx: int) -> tuple[Tensor | None, list[int]]:
        """Return initial values for ``n_ctx`` context vectors, and the tokens that stay between context and name.

        The first ``n_ctx`` tokens of CTX_INIT become vectors and the others stay words, as the public code does up to 4
        vectors. If CTX_INIT has fewer tokens than ``n_ctx``, this returns (None, []): the vectors start from noise.
        """
        text, words = self.tower.text, self.knobs.CTX_INIT.replace("_", " ").strip()
        vectors = word_vectors(text, words)
        if vectors is None or len(vectors) < n_ctx:
            return None, []
        return vectors[:n_ctx], text.vocabulary.encode(words)[n_ctx:]

    def words_before_names(self) -> list[int]:
        """Return the words of CTX_INIT that did not become vectors: [SOS] context, remaining words, name . [EOT]."""
        return self.initial_context(self.model.n_ctx)[1]

    def questions(self) -> Questions:
        contexts, *deep = self.model.layers(range(len(self.layout)))
        words = self.words_before_names()
        return ContextQuestions(self.trained_tasks, contexts, words=words, deep=torch.stack(deep) if deep else None)

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        packed, columns = self.packed(tasks)
        contexts, *deep = self.model.layers(tasks)
        return unit(self.encode(self.tower.text, packed, contexts, deep)), columns

    # -- images --

    def encode_images(self, images: Tensor) -> Tensor:
        """Return the pixels unchanged: `class_logits` encodes them, since only it knows whose prompts to use."""
        return images

    def prompted(self, images: Tensor, task: int) -> Tensor:
        """Encode images with a task's prompts: (images, feature_dim) of unit norm."""
        return self.vision(images, self.model.vision_prompts(task))

    def head(self) -> PromptedHead:
        tasks = range(len(self.layout))
        prompts = torch.stack([self.model.vision_prompts(task) for task in tasks])
        return PromptedHead(self.layout, self.text_features(tasks)[0], self.tower.logit_scale, prompts, self.tower)

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of all classes; ``image_features`` are images, see `encode_images`."""
        w, columns = text or self.text_features(self.tasks_to_encode(task))

        def logits_of_task(index: int, images: Tensor) -> Tensor:
            return self.logits(self.prompted(images, index), w[self.columns_of(index, columns)])

        logits = self.task_by_task(image_features, task, logits_of_task)
        return logits, self.all_classes
