"""PLOT: prompt learning with optimal transport (arXiv 2210.01253).

A task has N contexts instead of one, and an image has M local features x_m instead of one feature. The similarity of an
image and a class compares the two sets by optimal transport, the cheapest way to move the weight of one set onto the
other:

    class prompts  [SOS] V^k_1 .. V^k_L  class name . [EOT], k = 1 .. N     -> text encoder -> class features w_k
    similarity     S_mk = cosine(x_m, w_k)
    plan           T minimises <T, 1 - S> - eps H(T) with row sums 1/M and column sums 1/N       (Sinkhorn, below)
    logit          exp(logit_scale) x <T, S>

The plan is constant in the gradient: Sinkhorn's iterations are not differentiated. V is learned, separately for each
task of a collection; the loss is CoOp's. Local features come from prompting.local_features. The feature bank does not
store them (M times the size of a feature), so images are encoded at every step.

Follows section 3 of the paper and github.com/CHENGY12/PLOT (plot-coop). Deviations: similarities and plans are float32
whatever the tower's precision (published: the tower's float16); in tests, Sinkhorn stops for each image on its own, not
on the mean change over a batch, so that a prediction does not depend on other images; ImageNet's extra term, the cosine
of the global features, is omitted. The public code supports ResNets only; other towers' local features are our
interpretation. The patch tokens of a vision transformer's last layer were never trained to match text, so expect less
of PLOT there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import TransportHead
from classifier.questions import ContextQuestions, Questions
from common.knobs import Knob
from prompting.local_features import check_local, encode_local
from prompting.prompts import with_each_context
from prompting.text_encoder import Packed, pack_for
from prompting.transport import Transport
from prompting.transport import sinkhorn as sinkhorn
from trainers.engine.contexts import PromptLearner
from trainers.engine.prompt_trainer import PromptTrainer


class ContextSets(PromptLearner):
    """N contexts for each task; context k of task t has index t * N + k."""

    ctx: nn.ParameterList
    foreign_names = {"ctx": "ctx.{}"}

    def __init__(self, n_tasks: int, n: int, n_ctx: int, ctx_dim: int, position: str = "end"):
        super().__init__()
        self.n, self.n_ctx, self.position = n, n_ctx, position
        self.ctx = nn.ParameterList(torch.empty(n, n_ctx, ctx_dim).normal_(std=0.02) for _ in range(n_tasks))

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task * self.n  # the first; `PLOT.pack_classes` adds k

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        used = set(tasks)
        return torch.cat([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])


@TRAINER_REGISTRY.register()
class PLOT(PromptTrainer):
    """Prompt learning with optimal transport, each task trained on its own."""

    model: ContextSets
    section = "PLOT"
    KNOBS = (
        Knob("N", 4, "contexts per task", least=1, most=1000),
        Knob("N_CTX", 16, "context vectors in a class prompt", least=1, most=1000),
        Knob("CLASS_TOKEN_POSITION", "end", "place of the class name in a prompt", among=("end", "middle", "front")),
        # exp(-2 / EPS), the smallest value of a kernel, must be a float32.
        Knob("EPS", 0.1, "eps: weight of the plan's entropy", least=0.03, most=1e6),
        Knob("MAX_ITER", 100, "largest number of Sinkhorn iterations", least=1),
        Knob("THRESHOLD", 0.01, "they stop earlier if the row scalings change by less than this on average", least=0),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_bank(cls, cfg: CfgNode) -> bool:
        return False

    def build_learner(self) -> ContextSets:
        check_local(self.tower)
        print("PLOT compares local image features, which the bank does not store, so images are encoded at every step")
        k = self.knobs
        return ContextSets(len(self.layout), k.N, k.N_CTX, self.tower.text.width, k.CLASS_TOKEN_POSITION)

    def encode_images(self, images: Tensor) -> Tensor:
        """Return x_m, (batch, M, feature_dim)."""
        return encode_local(self.tower, images)

    def pack_classes(self, columns: Sequence[int]) -> Packed:
        """Pack N prompts per class: first those of context 0, then those of context 1, ..."""
        prompts = [self._prompts[c] for c in columns]
        return pack_for(self.tower.text, with_each_context(prompts, self.model.n, self.model.n_ctx))

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Return w_k of some tasks' classes, (N, n, feature_dim), and their (n,) flat class indices."""
        features, columns = super().text_features(tasks, classes)
        return features.unflatten(0, (self.model.n, -1)), columns

    @property
    def transport(self) -> Transport:
        k = self.knobs
        return Transport(self.tower.logit_scale, k.EPS, k.MAX_ITER, k.THRESHOLD)

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """(images, M, d), (N, n, d) -> (images, n)."""
        return self.transport.logits(image_features, text_features)

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        w, columns = text or self.text_features(self.tasks_to_encode(task))

        def logits_of_task(index: int, x: Tensor) -> Tensor:
            return self.logits(x, w[:, self.columns_of(index, columns)])

        logits = self.task_by_task(image_features, task, logits_of_task)
        return logits, self.all_classes

    def head(self) -> TransportHead:
        return TransportHead(self.layout, self.text_features(range(len(self.layout)))[0], self.transport)

    def questions(self) -> Questions:
        contexts = self.model.contexts(range(len(self.layout)))
        return ContextQuestions(self.trained_tasks, contexts, self.model.position, self.model.n)
