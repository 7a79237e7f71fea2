"""LP++: a linear probe whose class weights blend images and text (arXiv 2404.02285).

For each task, with image features x_i of its N shots and text features t_c of its classes, all of unit norm:

    logits_c = x . (w_c + alpha_c t_c)
    min_{w, alpha}  1/N sum_i cross-entropy(logits of x_i, y_i)

There is no logit scale: alpha takes its place. The loss is minimised over w and alpha in turns, by full-batch gradient
steps. Their sizes come from the data, so no learning rate is searched:

    step of w           4 N / (largest eigenvalue of sum_i x_i x_i^T)
    step of alpha       N / (4 max_c sum_i (x_i . t_c)^2)
    order               ten steps of w, then one of alpha, until there are 300 steps of w
    start of w_c        the sum of its shots' features
    start of alpha_c    250 x the mean over classes of the mean x_i . t_c of their shots, the same for all classes

Why these sizes: the eigenvalues of cross-entropy's Hessian with respect to an image's logits are at most 1/2. So the
gradient with respect to w has a Lipschitz constant of at most L = (largest eigenvalue) / (2 N), and a step of 2 / L, as
here, cannot increase the loss. For alpha the same bound gives L = max_c sum_i (x_i . t_c)^2 / (2 N), and the step is an
eighth of 1 / L. The iteration with the best accuracy on the validation shots is kept, the last of equals; without
validation shots, the last iteration.

There are classes x (feature_dim + 1) parameters, fitted in float64.

After github.com/FereshteShakeri/FewShot-CLIP-Strong-Baseline, which has these constants, and momentum 0.9 in the steps
of w; MOMENTUM 0 makes them plain majorise-minimise steps. Ours deviates from the public code:
* A step of alpha uses the gradient at the present w and alpha. The public code never resets that gradient, so its steps
  follow the sum of all gradients since the start.
* There is no bias, as in the paper's equation; the public code has one, which starts at random.
* Shots are shown as in tests; the public code shows one random crop of each, flipped at random.
* Templates are the tasks' own (the public code averages seven for ImageNet), and iterations are compared by the task's
  metric, not always by overall accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import LinearHead
from common.knobs import Knob
from trainers.engine.fitted_trainer import FittedTrainer, accuracy
from trainers.engine.image_trainer import features_by_task


@dataclass
class Probe:
    """The probe of one task while it is fitted, in float64.

    Args:
        x: (N, d) features of the shots.
        y: (N,) their classes.
        t: (classes, d) text features.
        start: alpha's start, before it is multiplied by the similarity of shots and text.
        momentum: of the steps of w.
    """

    x: Tensor
    y: Tensor
    t: Tensor
    start: float
    momentum: float

    def __post_init__(self) -> None:
        x, t, n = self.x, self.t, len(self.x)
        self.similarity = x @ t.t()
        self.target = F.one_hot(self.y, len(t)).to(x.dtype)
        self.step_w = float(4 * n / torch.linalg.matrix_norm(x, 2).square())
        self.step_alpha = float(n / (4 * self.similarity.square().sum(0).max()))
        shots = self.target.sum(0)
        to_own_class = (self.target * self.similarity).sum(0) / shots.clamp(min=1)
        self.w = self.target.t() @ x
        self.alpha = torch.full_like(shots, float(self.start * to_own_class[shots > 0].mean()))
        self.velocity = torch.zeros_like(self.w)

    def residual(self) -> Tensor:
        """(N, classes) gradient of the loss with respect to the logits."""
        logits = self.x @ self.w.t() + self.alpha * self.similarity
        return (logits.softmax(1) - self.target) / len(self.x)

    def move_w(self) -> None:
        """One step of w."""
        self.velocity = self.momentum * self.velocity + self.residual().t() @ self.x
        self.w = self.w - self.step_w * self.velocity

    def move_alpha(self) -> None:
        """One step of alpha."""
        self.alpha = self.alpha - self.step_alpha * (self.residual() * self.similarity).sum(0)

    def predict(self, x: Tensor) -> Tensor:
        """(batch, d) features -> (batch,) classes."""
        return (x @ (self.w + self.alpha.unsqueeze(1) * self.t).t()).argmax(1)


class BlendedWeights(nn.Module):
    """w and alpha of all tasks, one after the other."""

    def __init__(self, n_classes: int, feature_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_classes, feature_dim))
        self.alpha = nn.Parameter(torch.zeros(n_classes))

    def forward(self, text_features: Tensor) -> Tensor:
        """(classes, feature_dim) text features -> (classes, feature_dim) weights w + alpha t."""
        return self.weight + self.alpha.unsqueeze(1) * text_features


@TRAINER_REGISTRY.register()
class LPPlusPlus(FittedTrainer):
    """A linear probe per task with text features in its weights."""

    model: BlendedWeights

    section = "LPPLUSPLUS"
    KNOBS = (
        Knob("ITERATIONS", 300, "steps of w", least=1, training=True),
        Knob("INNER", 10, "steps of w for each step of alpha", least=1, training=True),
        Knob(
            "START", 250.0, "alpha starts at this times the mean similarity of shots and text", least=0, training=True
        ),
        Knob("MOMENTUM", 0.9, "of the steps of w", least=0, below=1, training=True),
        Knob("SELECT", True, "keep the iteration that is best on the validation shots", training=True),
    )

    @classmethod
    def uses_validation(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> BlendedWeights:
        return BlendedWeights(self.layout.n_classes, self.tower.text.feature_dim)

    def fit(self) -> None:
        of_tasks = zip(features_by_task(self, "train"), features_by_task(self, "val"), strict=True)
        for index, (shots, val) in enumerate(of_tasks):
            classes = self.layout.classes_of(index)
            w, alpha = self.fit_task(index, shots, val)
            self.model.weight[classes.start : classes.stop] = w.to(self.model.weight.dtype)
            self.model.alpha[classes.start : classes.stop] = alpha.to(self.model.alpha.dtype)

    def fit_task(self, index: int, shots: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """w and alpha of a task, from features and classes of its shots and of its validation shots."""
        k, task, classes = self.knobs, self.layout.tasks[index], self.layout.classes_of(index)
        text_features = self.handwritten_features[classes.start : classes.stop].double()
        probe = Probe(shots[0].double(), shots[1], text_features, k.START, k.MOMENTUM)
        x_val, selecting = val[0].double(), k.SELECT and len(val[1]) > 0
        best, kept, found = -1.0, k.ITERATIONS, (probe.w, probe.alpha)
        for iteration in range(1, k.ITERATIONS + 1):
            probe.move_w()
            if iteration % k.INNER == 0:
                probe.move_alpha()
            reached = accuracy(probe.predict(x_val), val[1], task.metric) if selecting else 0.0
            if reached >= best:
                best, kept, found = reached, iteration, (probe.w, probe.alpha)
        print(
            f"task {index} ({task.name}): iteration {kept}"
            + (f", validation accuracy {100 * best:.1f}%" if selecting else "")
        )
        return found

    def head(self) -> LinearHead:
        return LinearHead(self.layout, self.model(self.handwritten_features))
