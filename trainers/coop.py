"""CoOp: context optimization (arXiv 2109.01134), on one task or on a collection of them.

    class prompt   [SOS] V_1 .. V_L  class name . [EOT]           -> text encoder -> class feature

V is learned directly. On a collection, either every task has a context of its own and is trained by itself (CoOp-CA in
the published table), or one context is shared by all tasks and trained on all at once (CoOp-MT).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from prompting.errors import unknown
from trainers.base import PromptLearner, PromptTrainer

CONTEXTS = {"task": "a context per task, each task trained by itself", "shared": "one context for all tasks"}


def extend_cfg(cfg: CfgNode) -> None:
    """cfg.TRAINER.COOP, with CoOp's values."""
    cfg.TRAINER.COOP = CfgNode()
    cfg.TRAINER.COOP.CONTEXT = "task"  # task or shared
    cfg.TRAINER.COOP.N_CTX = 16  # context vectors in a class prompt
    cfg.TRAINER.COOP.CLASS_TOKEN_POSITION = "end"  # "end", "middle" or "front"
    cfg.TRAINER.COOP.PREC = "fp16"  # fp16, bf16 or fp32; a CPU takes fp32 for fp16


class ContextTable(PromptLearner):
    """Contexts as free parameters: one for all tasks, or one per task."""

    def __init__(self, n_contexts: int, n_ctx: int, ctx_dim: int, position: str = "end"):
        super().__init__()
        self.n_ctx, self.position = n_ctx, position
        # A parameter each, so that the optimiser leaves the contexts of tasks that are not in a batch untouched.
        self.ctx = nn.ParameterList(torch.empty(n_ctx, ctx_dim).normal_(std=0.02) for _ in range(n_contexts))

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task if len(self.ctx) > 1 else 0

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        used = set(tasks) if len(self.ctx) > 1 else {0}
        return torch.stack([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])


@TRAINER_REGISTRY.register()
class CoOp(PromptTrainer):
    """Context optimization, class-agnostic."""

    section = "COOP"

    @classmethod
    def label(cls, cfg: CfgNode) -> str:
        """As the published table calls them: CA for a context per task, MT for one shared."""
        return "CoOp-CA" if cfg.TRAINER.COOP.CONTEXT == "task" else "CoOp-MT"

    @property
    def one_task_batches(self) -> bool:
        return self.knobs.CONTEXT == "task"

    def check_cfg(self, cfg):
        super().check_cfg(cfg)
        if cfg.TRAINER.COOP.CONTEXT not in CONTEXTS:
            raise unknown("CoOp context", cfg.TRAINER.COOP.CONTEXT, CONTEXTS)

    def build_learner(self) -> PromptLearner:
        k = self.knobs
        n_contexts = len(self.layout) if k.CONTEXT == "task" else 1
        return ContextTable(n_contexts, k.N_CTX, self.tower.text.width, k.CLASS_TOKEN_POSITION)
