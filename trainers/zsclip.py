"""Zero-shot CLIP (arXiv 2103.00020): templates filled with class names; nothing is learned.

    class feature   w_c = unit( mean_k unit( text encoder(template_k with class name c) ) )
    logits          exp(logit_scale) x cosine(image feature, w_c)

A class is described by its task's own template, or by an ensemble of that template and seven general ones, as in CoOp's
ZeroshotCLIP2. On ImageNet the ensemble consists of the seven general templates only.
"""

from __future__ import annotations

from collections.abc import Sequence

from dassl.engine import TRAINER_REGISTRY
from torch import nn

from classifier.heads import LinearHead
from classifier.questions import Questions, TemplateQuestions
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

    @property
    def templates(self) -> tuple[Sequence[str], bool]:
        """The templates that all tasks share, and whether each task's own belongs to them."""
        ensemble = self.knobs.TEMPLATES == "imagenet"
        return IMAGENET if ensemble else (), not (ensemble and self.cfg.DATASET.NAME.lower() == "imagenet")

    def head(self) -> LinearHead:
        return LinearHead(
            self.layout, template_features(self.tower.text, self.layout, *self.templates), self.tower.logit_scale
        )

    def questions(self) -> Questions:
        return TemplateQuestions(self.trained_tasks, *self.templates)

    def train(self) -> None:
        """Only test: nothing is trained."""
        self.test()
