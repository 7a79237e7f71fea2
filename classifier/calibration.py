"""Confidence that means something: a temperature for each task, and how far confidences are from accuracies.

A classifier is calibrated if, of all answers with confidence p, a share of p is right. Logits z divided by a
temperature T keep their order, so accuracies stay, and confidences fall (T > 1) or rise (T < 1):

    p(y | x) = softmax(z / T)_y                       Guo et al., On Calibration of Modern Neural Networks, ICML 2017

T minimises the negative log-likelihood of labelled images. With beta = 1 / T this is convex:

    L(beta) = sum_i [ log sum_k exp(beta z_ik) - beta z_iy ],    L'(beta) = sum_i [ E_softmax(beta z_i)[z_i] - z_iy ]

A few images say little about T, and nothing about where it ends if all of them are right or wrong. Tasks of one
collection share a tower and a method, so a task's temperature is pulled towards one that all tasks have in common:

    minimise L(beta) + kappa (beta / beta_0 - log(beta / beta_0))                          beta_0: of the common one

The added term is a Gamma prior's. It is least at beta_0, where it has the curvature of kappa / 2 (log T - log T_0)^2,
and it keeps the sum convex, so that the only root of the derivative is found by bisection. The common temperature is
fitted to all tasks' images with the same term and T_0 = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BOUNDS = (0.05, 20.0)  # of a temperature
PULL = 2.0  # kappa
BINS = 15
STEPS = 60  # of a bisection: the bounds' logarithms are 6 apart, so the error is below the last bit of a float64

Labelled = tuple[Tensor, Tensor]  # (N, C) logits of a task's classes, (N,) labels


def temperature_of(logits: Tensor, labels: Tensor, common: float = 1.0, pull: float = PULL) -> float:
    """Fit a task's temperature to labelled images.

    Args:
        logits: (N, C) of a task's classes, in any floating dtype.
        labels: (N,) int64 class indices.
        common: the temperature that it is pulled towards.
        pull: kappa, how strongly; 0 is Guo et al.'s fit.

    Returns:
        A number within BOUNDS; ``common`` if the images say nothing: there are none, or a single class.

    Raises:
        ValueError: a logit is not finite.
    """
    return _fitted([(logits, labels)], common, pull)


def _fitted(tasks: Sequence[Labelled], common: float, pull: float) -> float:
    """Return the temperature with the least sum for all images of some tasks, see `temperature_of`."""
    parts = []
    for logits, labels in tasks:
        if not logits.isfinite().all():
            raise ValueError("a logit is not finite")
        if len(labels) and logits.shape[1] > 1:
            logits = logits.detach().cpu().double()
            logits = logits - logits.amax(1, keepdim=True)  # the same softmax, and sums of small numbers
            parts.append((logits, logits.gather(1, labels.cpu().unsqueeze(1)).sum()))

    def slope(t: float) -> float:
        """Return the derivative by beta at T = exp(t); it grows with beta, so it falls with t."""
        beta = math.exp(-t)
        sums = [((beta * logits).softmax(1) * logits).sum() - true for logits, true in parts]
        return float(sum(sums)) + pull * (common - 1 / beta)

    low, high = map(math.log, BOUNDS)
    if not slope(low) > slope(high):  # flat: nothing pulls, and the images say nothing
        return common
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def temperatures_of(tasks: Sequence[Labelled], pull: float = PULL) -> list[float]:
    """Fit the temperatures of all tasks, each pulled towards the common one.

    Args:
        tasks: the (N, C) logits and (N,) labels of each task; N may be 0.
        pull: kappa.

    Returns:
        One for each task; of a task without images, the common one; 1 if no task has images.
    """
    common = common_temperature(tasks, pull)
    return [temperature_of(logits, labels, common, pull) for logits, labels in tasks]


def common_temperature(tasks: Sequence[Labelled], pull: float = PULL) -> float:
    """Fit one temperature to the (N, C) logits and (N,) labels of all tasks, pulled towards 1; 1 without images."""
    return _fitted(tasks, 1.0, pull)


def merged_temperature(temperatures: Sequence[float]) -> float:
    """Return the temperature of a head that is the mean of several: their geometric mean.

    T and 1 / T are mistakes of the same size in opposite directions, so the logarithms are averaged.
    """
    return math.exp(sum(map(math.log, temperatures)) / len(temperatures))


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Return how far confidences are from accuracies on average, 0 to 1.

    See `calibration_error`; the confidence of an image is its largest probability.

    Args:
        probabilities: (N, C), rows sum to 1.
        labels: (N,) int64 class indices.
        bins: number of bins of equal width.
    """
    confidence, predicted = probabilities.max(1)
    return calibration_error(confidence, predicted == labels, bins)


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = BINS) -> float:
    """Return the expected calibration error of answers, 0 to 1; NaN without answers.

    Answers are put in bins (m-1)/M < confidence <= m/M by confidence (Naeini et al. 2015; Guo et al. 2017, eq. 3):

        ECE = sum_m |B_m| / N x | accuracy(B_m) - mean confidence(B_m) |

    Args:
        confidence: (N,) 0 to 1. correct: (N,) bool.
        bins: M.
    """
    if not len(confidence):
        return math.nan
    confidence = confidence.double()
    place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    gap.index_add_(0, place, correct.double() - confidence)
    return float(gap.abs().sum()) / len(confidence)
