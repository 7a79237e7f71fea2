"""Linear probe on CLIP's image features (arXiv 2103.00020, LP-CLIP in the published table).

For each task, a multinomial logistic regression on the features x of the un-augmented few shots:

    min_{W, b}  sum_i cross-entropy(W x_i + b, y_i) + |W|^2 / (2 C)

C is chosen on the validation shots as CLIP's authors do: the best of 1e6, 1e4, .., 1e-6, then eight steps that halve,
on a logarithmic scale, the interval from a tenth of it to ten times it, and keep the better end.

Features are not normalised, as in the released script. The solver is SciPy's L-BFGS-B, started at zero, which stops
where scikit-learn's `lbfgs` does, a caller of the same routine: at the first iterate at which no entry of the gradient
of (objective / n) exceeds 1e-4. All C of a task share one factorisation (prompting.logistic_regression).

Fits are not started from another C's solution. With a large C the rule stops after some 15 iterations, long before the
minimum, so the result would depend on the start: exact minima gave another C in 15 of 21 searches (plants7, 4 shots).

Deviations from the released script: it swaps its two metrics (a task with overall accuracy is validated and tested by
the class mean, and vice versa), and ours does not; it draws shots of its own, and ours uses those of all methods. The
published table counts no parameters here; ours has classes x (feature_dim + 1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import RAW, LinearHead
from common.errors import InputError
from common.knobs import Knob
from prompting.folds import folds
from prompting.logistic_regression import LogisticRegression
from trainers.engine.fitted_trainer import FittedTrainer, accuracy
from trainers.engine.image_trainer import features_by_task

MAX_FOLDS = 5
DECADES = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)


def logistic_regression(
    x: Tensor, y: Tensor, n_classes: int, c: float, max_iter: int = 1000, tolerance: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """(n, d) features, (n,) int64 classes -> the (n_classes, d) W and (n_classes,) b above, float64.

    ``tolerance`` bounds the largest entry of the gradient of (objective / n). If there are two classes, the first has
    W_0 = 0 and b_0 = 0, as in scikit-learn. Use `LogisticRegression` for several C.
    """
    return LogisticRegression(x, y, n_classes).fit(c, max_iter, tolerance)


def search(score: Callable[[float], float], steps: int) -> float:
    """Return the C that CLIP's search finds; ``score(C)`` is the validation accuracy, computed once per C."""
    scores: dict[float, float] = {}

    def score_at(exponent: float) -> float:
        key = round(exponent, 9)
        if key not in scores:
            scores[key] = score(10.0**key)
        return scores[key]

    peak = max((float(np.log10(c)) for c in DECADES), key=score_at)
    best, left, right = peak, peak - 1, peak + 1
    for _ in range(steps):
        middle = (left + right) / 2
        if score_at(left) < score_at(right):
            best, left = right, middle
        else:
            best, right = left, middle
    return 10.0 ** round(best, 9)


class LinearClassifier(nn.Module):
    """(batch, d) image features -> (batch, classes) logits; the rows are the classes of all tasks."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, n_classes: int, feature_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_classes, feature_dim))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, image_features: Tensor) -> Tensor:
        return F.linear(image_features, self.weight, self.bias)


@TRAINER_REGISTRY.register()
class LinearProbe(FittedTrainer):
    """LP-CLIP: logistic regression per task."""

    model: LinearClassifier
    section = "LINEARPROBE"
    KNOBS = (
        Knob("C", 0.0, "inverse weight of the penalty; 0: choose it on the validation shots", least=0, training=True),
        Knob("STEPS", 8, "halvings of the interval when C is searched", least=0, most=100, training=True),
        Knob("MAX_ITER", 1000, "largest number of solver iterations", least=1, training=True),
    )

    @classmethod
    def raw_features(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_validation(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> LinearClassifier:
        return LinearClassifier(self.layout.n_classes, self.tower.text.feature_dim)

    def fit(self) -> None:
        of_tasks = zip(features_by_task(self, "train"), features_by_task(self, "val"), strict=True)
        for index, (shots, val_shots) in enumerate(of_tasks):
            classes = self.layout.classes_of(index)
            c, (w, b) = self.fit_task(index, shots, val_shots)
            print(f"task {index} ({self.layout.tasks[index].name}): C {c:.4g}")
            self.model.weight[classes.start : classes.stop] = w.to(self.model.weight.dtype)
            self.model.bias[classes.start : classes.stop] = b.to(self.model.bias.dtype)

    def head(self) -> LinearHead:
        return LinearHead(self.layout, self.model.weight, bias=self.model.bias, reads=RAW)

    def fit_task(
        self, index: int, shots: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]
    ) -> tuple[float, tuple[Tensor, Tensor]]:
        """Return a task's C, W and b, from features and classes of its shots and of its validation shots.

        Without validation shots, C is chosen by cross-validation on the shots.
        """
        task, k = self.layout.tasks[index], self.knobs
        n_classes = len(task.classnames)

        regression = LogisticRegression(*shots, n_classes)

        @cache
        def fit(c: float) -> tuple[Tensor, Tensor]:
            return regression.fit(c, k.MAX_ITER)

        @cache
        def parts() -> list[tuple[Tensor, LogisticRegression]]:
            x, y = shots
            return [(held, LogisticRegression(x[~held], y[~held], n_classes)) for held in folds(y, MAX_FOLDS)]

        def score(c: float) -> float:
            return accuracy(predict(val[0], *fit(c)), val[1], task.metric)

        def cross_validated(c: float) -> float:
            predicted = torch.empty_like(shots[1])
            for held, part in parts():
                predicted[held] = predict(shots[0][held], *part.fit(c, k.MAX_ITER))
            return accuracy(predicted, shots[1], task.metric)

        c = k.C
        if not c and not len(val[1]):
            if int(torch.bincount(shots[1], minlength=n_classes).min()) < 2:
                raise InputError(
                    f"Task '{task.name}' has no validation images, and a class with a single shot, to choose C on; set "
                    "TRAINER.LINEARPROBE.C, such as 1.0, or give more shots."
                )
            print(f"task {index} ({task.name}): no validation images, so C is chosen by cross-validation")
        c = c or search(score if len(val[1]) else cross_validated, k.STEPS)
        return c, fit(c)


def predict(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """(n, d) features -> (n,) classes."""
    return (x.double() @ w.t() + b).argmax(1)
