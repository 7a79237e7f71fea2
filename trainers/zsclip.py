"""Zero-shot CLIP (arXiv 2103.00020): each task's template filled with its class names; nothing is learned."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from prompting.prompts import sentence
from trainers.base import PromptLearner, PromptTrainer


def extend_cfg(cfg: CfgNode) -> None:
    """cfg.TRAINER.ZEROSHOT."""
    cfg.TRAINER.ZEROSHOT = CfgNode()
    cfg.TRAINER.ZEROSHOT.PREC = "fp16"  # fp16, bf16 or fp32; a CPU takes fp32 for fp16


class NoContext(PromptLearner):
    """Learns nothing: prompts are words alone."""

    n_ctx = 0


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(PromptTrainer):
    """CLIP with hand-written templates."""

    section = "ZEROSHOT"

    def build_learner(self) -> PromptLearner:
        return NoContext()

    def class_prompts(self) -> list[list[int]]:
        return [
            sentence(self.tower.text.vocabulary, task.template.replace("{}", name.replace("_", " ")))
            for task in self.layout.tasks
            for name in task.classnames
        ]

    def train(self):
        """There is nothing to train: test."""
        self.test()
