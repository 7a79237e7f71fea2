"""SoftCPT: soft context sharing for prompt tuning (arXiv 2208.13474).

The prompt context of every task is written by one small meta network that all tasks share:

    task prompt    [SOS] U_1 .. U_M  task name . [EOT]            -> text encoder -> task feature f_t
    sub-network    f_t -> S^t_1 .. S^t_L                          one linear map
    class prompt   [SOS] S^t_1 .. S^t_L  class name . [EOT]       -> text encoder -> class feature

U and the linear map are all that is learned, on the few shots of all tasks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from prompting.errors import unknown
from prompting.meta_network import SubNetwork
from prompting.prompts import lay_out
from prompting.tasks import TaskLayout
from prompting.text_encoder import PackedPrompts, encode, pack
from prompting.towers import TextTower
from trainers.base import PromptLearner, PromptTrainer

VARIANTS = {"NATA": "task context shared by all tasks", "NATS": "a task context per task"}


def extend_cfg(cfg: CfgNode) -> None:
    """cfg.TRAINER.SOFTCPT, with the released runs' values."""
    cfg.TRAINER.SOFTCPT = CfgNode()
    cfg.TRAINER.SOFTCPT.VARIANT = "NATA"  # NATA: task context shared by all tasks; NATS: one per task
    cfg.TRAINER.SOFTCPT.N_CTX = 16  # L: context vectors in a class prompt
    cfg.TRAINER.SOFTCPT.TASK_N_CTX = 4  # M: learnable vectors in a task prompt
    cfg.TRAINER.SOFTCPT.CLASS_TOKEN_POSITION = "end"  # "end", "middle" or "front"
    cfg.TRAINER.SOFTCPT.PREC = "fp16"  # fp16, bf16 or fp32; a CPU takes fp32 for fp16


class MetaNetwork(PromptLearner):
    """Writes one context per task from the task's name and the learnable task context (paper, section on the meta
    network).

    Args:
        text: the frozen text tower.
        layout: tasks and their names.
        n_ctx: L, context vectors per class prompt.
        task_n_ctx: M, learnable vectors per task prompt.
        per_task: one set of task context vectors per task (NATS) instead of one for all (NATA).
    """

    def __init__(
        self, text: TextTower, layout: TaskLayout, n_ctx: int, task_n_ctx: int, per_task: bool, position: str = "end"
    ):
        super().__init__()
        self.n_ctx, self.position = n_ctx, position
        sets = len(layout) if per_task else 1
        self.task_context = nn.Parameter(torch.empty(sets, task_n_ctx, text.width).normal_(std=0.02))
        self.sub_network = SubNetwork(text.feature_dim, n_ctx, text.width)
        self._prompts = [
            lay_out(text.vocabulary, t.name, i if per_task else 0, task_n_ctx) for i, t in enumerate(layout.tasks)
        ]
        self._text = [text]  # in a list, so that the frozen tower is no part of what is learned and saved
        self._packed = lru_cache(maxsize=64)(self._pack)

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task

    def _pack(self, tasks: tuple[int, ...]) -> PackedPrompts:
        return pack([self._prompts[task] for task in tasks]).to(self.task_context.device)

    def task_features(self, tasks: Sequence[int]) -> Tensor:
        """(len(tasks), feature_dim) f_t: the text encoder on the task prompts, not normalised."""
        return encode(self._text[0], self._packed(tuple(tasks)), self.task_context)

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        """(all tasks, L, ctx_dim) S^t, zeros for tasks that are not among ``tasks``."""
        written = self.sub_network(self.task_features(tasks))
        contexts = written.new_zeros(len(self._prompts), *written.shape[1:])
        return contexts.index_copy(0, torch.tensor(list(tasks), device=written.device), written)


@TRAINER_REGISTRY.register()
class SoftCPT(PromptTrainer):
    """Soft context sharing for prompt tuning, class-agnostic variants NATA and NATS."""

    section = "SOFTCPT"

    @classmethod
    def label(cls, cfg: CfgNode) -> str:
        return f"SoftCPT-{cfg.TRAINER.SOFTCPT.VARIANT}"

    def check_cfg(self, cfg):
        super().check_cfg(cfg)
        if cfg.TRAINER.SOFTCPT.VARIANT not in VARIANTS:
            raise unknown("SoftCPT variant", cfg.TRAINER.SOFTCPT.VARIANT, VARIANTS)

    def build_learner(self) -> PromptLearner:
        k = self.knobs
        return MetaNetwork(
            self.tower.text,
            self.layout,
            k.N_CTX,
            k.TASK_N_CTX,
            per_task=k.VARIANT == "NATS",
            position=k.CLASS_TOKEN_POSITION,
        )
