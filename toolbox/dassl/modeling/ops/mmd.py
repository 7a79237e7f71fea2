"""Maximum mean discrepancy: how far apart two sets of features are."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch.nn import functional as F

from dassl.metrics import euclidean_squared_distance

_WIDTHS = (1, 5, 10)  # of the Gaussians in the kernel mixture


class MaximumMeanDiscrepancy(nn.Module):
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), a sample not compared with itself.

    Args:
        kernel_type: "linear", "poly" (degree 2) or "rbf" (a sum of three Gaussians).
        normalize: scale features to length 1 first.
    """

    def __init__(self, kernel_type: str = "rbf", normalize: bool = False) -> None:
        super().__init__()
        self.kernel_type = kernel_type
        self.normalize = normalize

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """A scalar for features (m, width) and (n, width)."""
        if self.normalize:
            x, y = F.normalize(x, dim=1), F.normalize(y, dim=1)
        within = self._off_diagonal_mean(self._kernel(x, x)) + self._off_diagonal_mean(self._kernel(y, y))
        return within - 2 * self._kernel(x, y).mean()

    def _kernel(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.kernel_type == "linear":
            return x @ y.t()
        if self.kernel_type == "poly":
            return (x @ y.t() + 2.0).pow(2)
        if self.kernel_type == "rbf":
            distance = euclidean_squared_distance(x, y)
            return sum(torch.exp(-distance / (2.0 * width**2)) for width in _WIDTHS)
        raise NotImplementedError(f'kernel_type must be "linear", "poly" or "rbf", but is "{self.kernel_type}"')

    @staticmethod
    def _off_diagonal_mean(matrix: torch.Tensor) -> torch.Tensor:
        n = matrix.shape[0]
        return (matrix.sum() - matrix.diagonal().sum()) / (n * (n - 1))
