"""Zero-shot CLIP (arXiv 2103.00020): templates filled with class names; nothing is learned.

    class feature   w_c = unit( mean_k unit( text encoder(template_k with class name c) ) )
    logits          exp(logit_scale) x cosine(image feature, w_c)

A class is described by its task's own template, or by an ensemble of that template and seven general ones, as in CoOp's
ZeroshotCLIP2. On ImageNet the ensemble consists of the seven general templates only.
"""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from torch import nn

from classifier.heads import LinearHead
from common.knobs import Knob
from prompting.templates import IMAGENET, template_features
from trainers.engine.task_trainer import TaskTrainer

TEMPLATES = {"task": "each task's own template", "imagenet": "the mean over seven general templates and the task's own"}


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(TaskTrainer):
    """CLIP with hand-written templates."""

    section = "ZEROSHOT"
    KNOBS = (Knob("TEMPLATES", "task", "hand-written prompts of a class", among=TEMPLATES),)

    def build_learner(self) -> nn.Module:
        return nn.Module()  # nothing is learned

    def head(self) -> LinearHead:
        ensemble = self.knobs.TEMPLATES == "imagenet"
        own = not (ensemble and self.cfg.DATASET.NAME.lower() == "imagenet")
        features = template_features(self.tower.text, self.layout, IMAGENET if ensemble else (), own)
        return LinearHead(self.layout, features, self.tower.logit_scale)

    def train(self) -> None:
        """Only test: nothing is trained."""
        self.test()
