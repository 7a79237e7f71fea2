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

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from common.knobs import Knob
from prompting.losses import unit
from prompting.prompts import with_context
from prompting.text_encoder import Packed, pack_for
from trainers.engine.contexts import PromptLearner, module_list, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer

TEST_PROMPTS = 2048  # prompts encoded at a time without gradients; always at least those of one image
REDUCTION = 16  # width of the image feature / width of the meta-net's hidden layer


class ImageContext(nn.Module):
    """One task's context vectors and meta-net; ``start`` (n_ctx, ctx_dim) holds the vectors' initial values."""

    def __init__(self, start: Tensor, feature_dim: int):
        super().__init__()
        self.ctx = nn.Parameter(start.clone())
        self.linear1 = nn.Linear(feature_dim, feature_dim // REDUCTION)
        self.linear2 = nn.Linear(feature_dim // REDUCTION, start.shape[1])

    def forward(self, image_features: Tensor) -> Tensor:
        """(batch, feature_dim) -> (batch, n_ctx, ctx_dim)."""
        shift = self.linear2(self.linear1(image_features).relu())
        return self.ctx + shift.unsqueeze(1)


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
        """Pack the prompts of ``images`` images with a task's classes: the first image's, then the second's, ..."""
        prompts = [self._prompts[c] for c in self.layout.classes_of(task)]
        laid_out = [with_context(p, i, self.model.n_ctx) for i in range(images) for p in prompts]
        return pack_for(self.tower.text, laid_out).to(self.device)

    def logits_of_task(self, task: int, image_features: Tensor) -> Tensor:
        """(images, feature_dim) of a task -> (images, classes of the task); every image has its own class features."""
        n_classes = len(self.layout.classes_of(task))
        chunk = len(image_features) if torch.is_grad_enabled() else max(1, TEST_PROMPTS // n_classes)
        parts = []
        for x in image_features.split(chunk):
            contexts = self.model.tasks[task](x)
            w = unit(self.encode(self.tower.text, self._packed_images(task, len(x)), contexts))
            parts.append(self.tower.logit_scale * torch.einsum("id,icd->ic", x, w.unflatten(0, (-1, n_classes))))
        return torch.cat(parts)

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        logits = self.task_by_task(image_features, task, self.logits_of_task)
        return logits, self.all_classes

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Compute nothing ahead: images share no text features, since each has its own."""
        return lambda image_features, task: self.class_logits(image_features, task)[0]
