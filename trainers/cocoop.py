"""CoCoOp: conditional prompt learning (arXiv 2203.05557).

The context of a class prompt depends on the image to classify, with feature x:

    meta-net       pi(x) = W_2 relu(W_1 x + b_1) + b_2                      x of unit norm
    class prompt   [SOS] V_1 + pi(x) .. V_L + pi(x)  class name . [EOT]     -> text encoder -> class feature w_c(x)
    logits         exp(logit_scale) x cosine(x, w_c(x))

V and the meta-net are learned, separately for each task of a collection. There is a prompt for every pair of an image
and a class of its task, so training uses one image at a time, and each test image costs as much text encoding as CoOp's
whole test.

Follows sections 3.2 and 4 of the paper and github.com/KaiyangZhou/CoOp. Deviation: the meta-net computes in float32
whatever the tower's precision (published: float16).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from yacs.config import CfgNode

from classifier.heads import ConditionalHead
from classifier.questions import OwnQuestions, Questions
from common.knobs import Knob
from prompting.image_contexts import ImageContext, cosines, pack_for_images
from prompting.text_encoder import Packed
from trainers.engine.contexts import PromptLearner, module_list, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer


class ImageContexts(PromptLearner):
    """An `ImageContext` for each task."""

    tasks: Sequence[ImageContext]
    foreign_names = {
        "ctx": "tasks.{}.ctx",
        **{f"meta_net.linear{i}.{kind}": f"tasks.{{}}.linear{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")},
    }

    def __init__(self, starts: Sequence[Tensor], feature_dim: int):
        super().__init__()
        self.n_ctx = len(starts[0])
        self.tasks = module_list(ImageContext(start, feature_dim) for start in starts)

    def context_of_class(self, task: int, flat_class: int) -> int:
        return 0  # the first image's; `_pack_images` numbers those of further images


@TRAINER_REGISTRY.register()
class CoCoOp(PromptTrainer):
    """Conditional context optimization, each task trained on its own."""

    model: ImageContexts
    section = "COCOOP"
    KNOBS = (
        Knob("CONTEXT", "task", "task: each task has its own context vectors and meta-net", among=("task",)),
        Knob("N_CTX", 4, "context vectors in a class prompt, if CTX_INIT is empty", least=1, most=1000),
        Knob("CTX_INIT", "a photo of a", "words that the context starts from; they set N_CTX", training=True),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> ImageContexts:
        text, k = self.tower.text, self.knobs
        words = word_vectors(text, k.CTX_INIT)
        if words is not None:
            starts = [words] * len(self.layout)
        else:
            starts = [torch.empty(k.N_CTX, text.width).normal_(std=0.02) for _ in self.layout.tasks]
        self._packed_images = lru_cache(maxsize=64)(self._pack_images)
        return ImageContexts(starts, text.feature_dim)

    def _pack_images(self, task: int, images: int) -> Packed:
        prompts = [self._prompts[c] for c in self.layout.classes_of(task)]
        return pack_for_images(self.tower.text, prompts, images, self.model.n_ctx).to(self.device)

    def logits_of_task(self, task: int, image_features: Tensor) -> Tensor:
        """(images, feature_dim) of a task -> (images, classes of the task); every image has its own class features."""

        def class_features(contexts: Tensor) -> Tensor:
            return self.encode(self.tower.text, self._packed_images(task, len(contexts)), contexts)

        n_classes = len(self.layout.classes_of(task))
        return self.tower.logit_scale * cosines(image_features, self.model.tasks[task], n_classes, class_features)

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        logits = self.task_by_task(image_features, task, self.logits_of_task)
        return logits, self.all_classes

    def head(self) -> ConditionalHead:
        return ConditionalHead(self.layout, self.model.tasks, self.tower)

    def questions(self) -> Questions:
        return OwnQuestions(self.trained_tasks)
