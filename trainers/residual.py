"""A residual of the images on top of hand-written templates: zero-shot CLIP, corrected by its shots.

    logits_c(x) = alpha s x . t_c + x . A v_c         t_c: the feature of the task's template with the name of class c

alpha, v and A come from the shots alone, in seconds, and no validation image is used: `prompting.residual` has the
equations and the reasons. There are classes x feature_dim parameters. The residual belongs to the classes it was fitted
to; other classes and tasks are answered by their templates.

The same residual may sit on top of learned prompts: RESIDUAL.FIT, or --residual on command lines. SoftCPT-R is SoftCPT
with it. t_c is then a mean of the template's feature and the learned prompt's.
"""

from __future__ import annotations

from pathlib import Path

from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import LinearHead
from classifier.questions import Questions, TemplateQuestions
from trainers.engine.fitted_trainer import FittedTrainer


@TRAINER_REGISTRY.register()
class Residual(FittedTrainer):
    """Zero-shot CLIP's classifier with a residual, see above."""

    section = "RESIDUAL"
    KNOBS = ()

    @classmethod
    def carries_residual(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> nn.Module:
        return nn.Module()  # the residual is the trainer's

    def fit(self) -> None:
        self.fit_residual()

    def head(self) -> LinearHead:
        return LinearHead(self.layout, self.handwritten_features, self.tower.logit_scale)

    def questions(self) -> Questions:
        return TemplateQuestions(self.trained_tasks)

    def parameters_in(self, path: Path | str) -> tuple[dict[str, Tensor], int | None]:
        """Nothing: what was fitted is in the run's classifier, see `trainers.engine.residuals.rows_in`."""
        return {}, None
