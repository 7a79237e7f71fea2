"""Confidence intervals of means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev

LEVEL = 0.95


def interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Student's t interval of the mean of independent ``values``; NaN for fewer than two."""
    if len(values) < 2:
        return math.nan, math.nan
    half = t_quantile(len(values) - 1, level) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


@lru_cache
def t_quantile(df: int, level: float = LEVEL) -> float:
    """The t with probability ``level`` between -t and t, for Student's t with ``df`` degrees of freedom, 1 or more.

    Found by bisection over the angle theta = arctan(t / sqrt(df)), since for integer ``df`` the probability is a finite
    sum in it (Abramowitz and Stegun, 26.7.3 and 26.7.4). This needs no SciPy, so that tables and errors
    are printed before anything is installed.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, df) < level else (low, middle)
    return math.sqrt(df) * math.tan(high)


def _within(theta: float, df: int) -> float:
    """P(|t| <= sqrt(df) tan theta)."""
    odd, cosine = df % 2, math.cos(theta)
    term = cosine if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df, 2):  # cos^(k) (1 3 .. (k - 1)) / (2 4 .. k) if k is even; analogous if odd
        term *= cosine**2 * (k - 1) / k
        total += term
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total
