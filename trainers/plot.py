"""PLOT: prompt learning with optimal transport (arXiv 2210.01253).

A task has N contexts instead of one, and an image M local features x_m instead of one feature: an image and a class are
as near as their two sets are, when one set's weight is moved onto the other's at the least cost.

    class prompts  [SOS] V^k_1 .. V^k_L  class name . [EOT], k = 1 .. N     -> text encoder -> class features w_k
    similarity     S_mk = cosine(x_m, w_k)
    plan           T minimises <T, 1 - S> - eps H(T) with row sums 1/M and column sums 1/N       (Sinkhorn, below)
    logit          exp(logit_scale) x <T, S>

The plan is held fixed in the gradient, so Sinkhorn's iterations are not differentiated. V is learned, for each task of
a collection by itself; the loss is CoOp's. Local features come from prompting.local_features; the feature bank does not
hold them (M times the size of a feature), so images are encoded as they come.

After section 3 of the paper and github.com/CHENGY12/PLOT (plot-coop). Ours deviates: similarities and plans are float32
whatever the tower computes in (published: the tower's float16); at test time Sinkhorn stops on the mean change over the
images of one task that are compared together, not over a whole batch; ImageNet's extra term, the cosine of the global
features, is left out. The public code has ResNets only; other towers' local features are our reading, and
nothing ever trained the patch tokens of a vision transformer's last layer to match text: expect less of PLOT there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from common.knobs import Knob
from prompting.local_features import check_local, encode_local
from prompting.prompts import with_context
from prompting.text_encoder import PackedPrompts, pack
from trainers.engine.contexts import PromptLearner
from trainers.engine.prompt_trainer import PromptTrainer

TEST_VALUES = 1 << 22  # similarities computed at a time when no gradient is wanted


@torch.no_grad()
def sinkhorn(cost: Tensor, eps: float, max_iter: int, threshold: float) -> Tensor:
    """Plans (P, M, N) of the entropic optimal transport between uniform weights, for P costs (P, M, N) at once.

    The plan is diag(r) K diag(c) with K = exp(-cost / eps); r and c are fitted in turns to the row and column sums. All
    problems stop together, when r has changed by less than ``threshold`` on average, so column sums are exact and row
    sums as good as that.
    """
    kernel = torch.exp(-cost / eps)
    _, m, n = cost.shape
    r, c = torch.ones_like(cost[:, :, :1]), torch.ones_like(cost[:, :1])
    for _ in range(max_iter):
        before = r
        r = 1 / (m * (kernel * c).sum(2, keepdim=True))
        c = 1 / (n * (kernel * r).sum(1, keepdim=True))
        if (r - before).abs().mean() < threshold:
            break
    return r * kernel * c


class ContextSets(PromptLearner):
    """N contexts for each task: context k of task t is the (t * N + k)-th."""

    def __init__(self, n_tasks: int, n: int, n_ctx: int, ctx_dim: int, position: str = "end"):
        super().__init__()
        self.n, self.n_ctx, self.position = n, n_ctx, position
        self.ctx = nn.ParameterList(torch.empty(n, n_ctx, ctx_dim).normal_(std=0.02) for _ in range(n_tasks))

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task * self.n  # the first of them

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        used = set(tasks)
        return torch.cat([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])


@TRAINER_REGISTRY.register()
class PLOT(PromptTrainer):
    """Prompt learning with optimal transport, each task trained by itself."""

    section = "PLOT"
    KNOBS = (
        Knob("N", 4, "contexts of a task", least=1),
        Knob("N_CTX", 16, "context vectors in a class prompt", least=1),
        Knob("CLASS_TOKEN_POSITION", "end", "place of the class name in a prompt", among=("end", "middle", "front")),
        # exp(-2 / EPS), the smallest value of a kernel, must be a float32.
        Knob("EPS", 0.1, "weight of the plan's entropy", least=0.03),
        Knob("MAX_ITER", 100, "Sinkhorn's iterations at most", least=1),
        Knob("THRESHOLD", 0.01, "it stops earlier when the row scalings change by less than this on average"),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_bank(cls, cfg: CfgNode) -> bool:
        return False

    def build_learner(self) -> PromptLearner:
        check_local(self.tower)
        print("PLOT compares local image features, which the bank does not hold: images are encoded as they come")
        k = self.knobs
        return ContextSets(len(self.layout), k.N, k.N_CTX, self.tower.text.width, k.CLASS_TOKEN_POSITION)

    def encode_images(self, images: Tensor) -> Tensor:
        """(batch, M, feature_dim) x_m."""
        return encode_local(self.tower, images)

    def pack_classes(self, columns: Sequence[int]) -> PackedPrompts:
        """N prompts for each class, those of the first context first."""
        learner = self.model
        return pack([with_context(self._prompts[c], k, learner.n_ctx) for k in range(learner.n) for c in columns])

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """(N, n, feature_dim) w_k of some tasks' classes, and the (n,) flat class indices."""
        features, columns = super().text_features(tasks, classes)
        return features.unflatten(0, (self.model.n, -1)), columns

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """(images, M, d), (N, n, d) -> (images, n)."""
        k = self.knobs
        similarity = torch.einsum("imd,kcd->icmk", image_features, text_features)
        cost = 1 - similarity.flatten(0, 1)
        plan = sinkhorn(cost, k.EPS, k.MAX_ITER, k.THRESHOLD).view_as(similarity)
        return self.tower.logit_scale * (plan * similarity).sum((2, 3))

    def class_logits(self, image_features, task, text=None):
        w, columns = text or self.text_features(self.tasks_to_encode(task))

        def of_task(index: int, x: Tensor) -> Tensor:
            mine = w[:, self.task_of_class[columns] == index]
            values = x.shape[1] * mine.shape[0] * mine.shape[1]
            together = len(x) if torch.is_grad_enabled() else max(1, TEST_VALUES // values)
            return torch.cat([self.logits(part, mine) for part in x.split(together)])

        logits = self.task_by_task(image_features, task, of_task)
        return logits, torch.arange(self.layout.n_classes, device=self.device)
