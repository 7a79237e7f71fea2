"""Zero-shot CLIP (arXiv 2103.00020): templates filled with class names; nothing is learned.

    class feature   w_c = unit( mean_k unit( text encoder(template_k with class name c) ) )
    logits          exp(logit_scale) x cosine(image feature, w_c)

Either each task has one template, its own, or seven general ones join it: the ensemble of CoOp's ZeroshotCLIP2, which
on ImageNet consists of the seven alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from yacs.config import CfgNode

from common.errors import unknown
from prompting.templates import IMAGENET, template_features
from trainers.engine.base import PromptLearner, PromptTrainer

TEMPLATES = {"task": "each task's own template", "imagenet": "the mean over seven general templates and the task's own"}


def extend_cfg(cfg: CfgNode) -> None:
    """cfg.TRAINER.ZEROSHOT."""
    cfg.TRAINER.ZEROSHOT = CfgNode()
    cfg.TRAINER.ZEROSHOT.TEMPLATES = "task"  # task or imagenet
    cfg.TRAINER.ZEROSHOT.PREC = "fp16"  # fp16, bf16 or fp32; a CPU takes fp32 for fp16


class NoContext(PromptLearner):
    """Learns nothing: prompts are words alone."""

    n_ctx = 0


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(PromptTrainer):
    """CLIP with hand-written templates."""

    section = "ZEROSHOT"

    @classmethod
    def label(cls, cfg: CfgNode) -> str:
        return "ZeroshotCLIP" if cfg.TRAINER.ZEROSHOT.TEMPLATES == "task" else "ZeroshotCLIP-ensemble"

    def check_cfg(self, cfg):
        super().check_cfg(cfg)
        if cfg.TRAINER.ZEROSHOT.TEMPLATES not in TEMPLATES:
            raise unknown("Set of templates", cfg.TRAINER.ZEROSHOT.TEMPLATES, TEMPLATES)

    def build_learner(self) -> PromptLearner:
        return NoContext()

    def class_prompts(self) -> list[list[int]]:
        return []  # `text_features` makes them of templates

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        columns = torch.tensor(self.layout.classes_of_all(tasks), device=self.device)
        ensemble = self.knobs.TEMPLATES == "imagenet"
        own = not (ensemble and self.cfg.DATASET.NAME.lower() == "imagenet")
        features = template_features(self.tower.text, self.layout, IMAGENET if ensemble else (), own)
        return features[columns], columns

    def train(self):
        """There is nothing to train: test."""
        self.test()
