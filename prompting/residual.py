"""Class weights that start from text and are corrected by the images: a residual on top of prompts.

A task has labelled images with features x_i of unit norm, and class features t_c from prompts. With the logit scale s,

    logits_c(x) = alpha s x . t_c + x . A v_c                                         w_c = alpha t_c + A v_c / s
    min_V  sum_i cross-entropy(logits(x_i), y_i) + |V|^2 / (2 C)                      one task at a time, convex

so alpha is how much the text counts, and C how far the weights may move from it. Where the text is of no use, alpha is
small and this is close to a linear probe; where it suffices, C is small and this is close to the prompts' classifier.

How they are chosen. Tasks of a collection share a tower, so each choice is shared as far as a task has no data of its
own:

alpha   That of all tasks, alpha_0, is 1 / T of the zero-shot logits of all shots (`classifier.calibration`): no shot
        has shaped the templates, so the shots tell how far they can be trusted. A task's alpha is alpha_0 times its
        share, one of TEXT.
C       One of COSTS. A is scaled so that images lie at a mean squared distance of 1 from their task's mean, so C means
        the same for every tower, though not for every number of classes. Both ends are chosen; a wider grid did not do
        better.
        A task's share and C minimise the cross-entropy of its shots under cross-validation, to which PULL images with
        the mean cross-entropy of all tasks are added. Templates stand in for t_c meanwhile: learned prompts have seen
        the shots, and would be trusted too much. With one shot a class nothing can be held out: alpha is alpha_0 and C
        is SINGLE.
A       Differences within a class are noise, so directions in which classes scatter count less:
            A = ((1 - RIDGE) S / mean variance + RIDGE I)^(-1/2)
        S is the covariance within the task's classes, to which that of all tasks is added as KIN images.

The constants were chosen on the validation images of two collections, at 1 to 16 shots; docs/results.md has what was
tried. LP++ (arXiv 2404.02285), CLAP (2312.12730) and TaskRes (2211.10277) also combine text and image; what is new here
is that the text's weight is measured, and that tasks share what they cannot know alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prompting.folds import folds
from prompting.logistic_regression import LogisticRegression

FOLDS = 5
TEXT = (0.25, 0.5, 1.0)  # a task's alpha / alpha_0
COSTS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
SINGLE = 200.0  # C without cross-validation
PULL = 20.0  # images
RIDGE = 0.5
KIN = 32.0  # images
ITERATIONS = 200
TOLERANCE = 1e-4  # of the gradient, times the number of classes


@dataclass(frozen=True)
class Shots:
    """A task's labelled images.

    Args:
        x: (N, d) features of unit norm.
        y: (N,) int64 classes, from 0.
        templates: (classes, d) features of its hand-written prompts, of unit norm.
    """

    x: Tensor
    y: Tensor
    templates: Tensor

    def part(self, chosen: Tensor) -> Shots:
        """Return the images at which the (N,) mask is true."""
        return Shots(self.x[chosen], self.y[chosen], self.templates)


@dataclass(frozen=True)
class Choice:
    """What a task's fit takes: its share of the text's weight, C, and the number of folds that chose them, or 0."""

    text: float
    c: float
    folds: int = 0


@dataclass(frozen=True)
class Residual:
    """A task's result: (classes, d) float64 weights w_c, of any norm; alpha; and what was chosen."""

    weight: Tensor
    alpha: float
    choice: Choice


def fit_residuals(
    tasks: Sequence[Shots], features: Sequence[Tensor], scale: float, alpha: float, c: float = 0.0
) -> list[Residual]:
    """Fit the weights of all tasks.

    Args:
        tasks: their shots; a task may have none, and a class too.
        features: t_c of each task, (classes, d) of unit norm, from learned prompts or its templates again.
        scale: s.
        alpha: alpha_0.
        c: C of all tasks; 0: choose it, see above.

    Returns:
        One for each task, on the device of its images. logits are scale x features . weight.
    """
    tasks = [Shots(task.x.double(), task.y, task.templates.double()) for task in tasks]
    choices = [Choice(1.0, c) for _ in tasks] if c else choose(tasks, scale, alpha)
    maps, fitted = metrics(tasks), []
    for task, prompts, a, choice in zip(tasks, features, maps, choices, strict=True):
        text = choice.text * alpha
        prompts = prompts.double()
        if len(task.y) and len(prompts) > 1:
            added = a @ solve(task.x @ a, task.y, text * scale * task.x @ prompts.t(), choice.c).t() / scale
            fitted.append(Residual(text * prompts + added.t(), text, choice))
        else:
            fitted.append(Residual(text * prompts, text, choice))
    return fitted


def solve(x: Tensor, y: Tensor, offset: Tensor, c: float) -> Tensor:
    """(N, d) features, (N,) classes, (N, classes) logits of the text -> the (classes, d) V above, float64."""
    return minimum(problem(x, y, offset), c)


def problem(x: Tensor, y: Tensor, offset: Tensor) -> LogisticRegression:
    """As in `solve`; what does not depend on C is done once."""
    return LogisticRegression(x, y, offset.shape[1], offset)


def minimum(regression: LogisticRegression, c: float) -> Tensor:
    """The (classes, d) V of a `problem` for one C."""
    # An entry of the gradient of the mean loss is of order 1 / classes: with a fixed tolerance, the solver would stop
    # after a few steps where there are many classes.
    return regression.fit(c, ITERATIONS, TOLERANCE / regression.shape[0])[0]


def choose(tasks: Sequence[Shots], scale: float, alpha: float) -> list[Choice]:
    """Return each task's share of the text's weight and its C, by cross-validation on its shots; all in float64."""
    held = [folds(task.y, FOLDS) for task in tasks]
    grid = [(text, c) for text in TEXT for c in COSTS]
    loss = torch.zeros(len(tasks), len(grid), dtype=torch.float64)  # sums over held-out images
    count = torch.zeros(len(tasks), 1, dtype=torch.float64)
    for fold in range(max(map(len, held), default=0)):
        parts = [task.part(~mask[fold]) if fold < len(mask) else task for task, mask in zip(tasks, held, strict=True)]
        maps = metrics(parts)
        for index, (task, masks) in enumerate(zip(tasks, held, strict=True)):
            if fold >= len(masks) or len(task.templates) < 2:
                continue
            part, a, tested = parts[index], maps[index], task.part(masks[fold])
            count[index] += len(tested.y)
            x, mapped = part.x @ a, tested.x @ a
            of_text = [scale * alpha * images.x @ task.templates.t() for images in (part, tested)]
            for number, text in enumerate(TEXT):
                regression = problem(x, part.y, text * of_text[0])
                for column, c in enumerate(COSTS, start=number * len(COSTS)):
                    logits = text * of_text[1] + mapped @ minimum(regression, c).t()
                    loss[index, column] += F.cross_entropy(logits, tested.y, reduction="sum").cpu()
    if not count.sum():
        return [Choice(1.0, SINGLE) for _ in tasks]
    best = (loss + PULL * loss.sum(0) / count.sum()).argmin(1).tolist()
    chosen = [grid[column] for column in best]
    return [Choice(text, c, len(masks)) for (text, c), masks in zip(chosen, held, strict=True)]


def metrics(tasks: Sequence[Shots]) -> list[Tensor]:
    """Return A of each task, (d, d) float64, divided by the root of the images' mean squared distance from their mean.

    The distance is that of all tasks, and 1 if no task has two different images.
    """
    scatters, counts = zip(*(scatter(task) for task in tasks), strict=True)
    total, images = torch.stack(list(scatters)).sum(0), sum(counts)
    maps = []
    for own, count in zip(scatters, counts, strict=True):
        if images:
            maps.append(inverse_root((own + KIN * total / images) / (count + KIN)))
        else:
            maps.append(torch.eye(len(own), dtype=own.dtype, device=own.device))
    apart = [
        (x - x.mean(0)).square().sum(1) for x in (task.x @ a for task, a in zip(tasks, maps, strict=True)) if len(x)
    ]
    distance = float(torch.cat(apart).mean()) if apart else 0.0
    return [a / (distance**0.5 if distance > 1e-12 else 1.0) for a in maps]


def scatter(task: Shots) -> tuple[Tensor, int]:
    """Return the (d, d) sum of squared differences from the classes' means, and its degrees of freedom."""
    classes = F.one_hot(task.y, len(task.templates)).to(task.x.dtype)
    shots = classes.sum(0)
    means = classes.t() @ task.x / shots.clamp(min=1).unsqueeze(1)
    apart = task.x - means[task.y]
    return apart.t() @ apart, int((shots - 1).clamp(min=0).sum())


def inverse_root(covariance: Tensor) -> Tensor:
    """Return A of a (d, d) covariance S; the identity if that is zero."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    variance = covariance.diagonal().mean()
    if not variance > 1e-12:
        return identity
    values, vectors = torch.linalg.eigh((1 - RIDGE) * covariance / variance + RIDGE * identity)
    return vectors * values.rsqrt() @ vectors.t()
