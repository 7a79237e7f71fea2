"""Distances between the rows of two matrices."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def compute_distance_matrix(input1: torch.Tensor, input2: torch.Tensor, metric: str = "euclidean") -> torch.Tensor:
    """Return distances (m, n) between the rows of ``input1`` (m, width) and ``input2`` (n, width).

    Args:
        metric: "euclidean" (squared) or "cosine".

    Raises:
        TypeError: an input is not a tensor.
        ValueError: the shapes are wrong or the metric is unknown.
    """
    for matrix in (input1, input2):
        if not isinstance(matrix, torch.Tensor):
            raise TypeError(f"Expected a tensor, but got a {type(matrix).__name__}")
        if matrix.dim() != 2:
            raise ValueError(f"Expected a 2-D tensor, but got shape {tuple(matrix.shape)}")
    if input1.size(1) != input2.size(1):
        raise ValueError(f"The rows differ in width: {input1.size(1)} and {input2.size(1)}")
    if metric == "euclidean":
        return euclidean_squared_distance(input1, input2)
    if metric == "cosine":
        return cosine_distance(input1, input2)
    raise ValueError(f'Unknown distance metric: {metric}. Please choose either "euclidean" or "cosine"')


def euclidean_squared_distance(input1: torch.Tensor, input2: torch.Tensor) -> torch.Tensor:
    """Return |a - b|^2 = |a|^2 + |b|^2 - 2 ab for all rows a of ``input1`` and b of ``input2``."""
    squares1 = input1.pow(2).sum(dim=1, keepdim=True)
    squares2 = input2.pow(2).sum(dim=1, keepdim=True)
    return squares1 + squares2.t() - 2 * input1 @ input2.t()


def cosine_distance(input1: torch.Tensor, input2: torch.Tensor) -> torch.Tensor:
    """Return 1 - cosine for all rows of ``input1`` and ``input2``."""
    return 1 - F.normalize(input1, dim=1) @ F.normalize(input2, dim=1).t()
