"""Maximum mean discrepancy: how far apart two sets of features are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
from torch.nn import functional as F

from dassl.metrics import euclidean_squared_distance

_WIDTHS = (1, 5, 10)  # of the Gaussians in the kernel mixture


class MaximumMeanDiscrepancy(nn.Module):
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y); a sample is not compared with itself.

    Args:
        kernel_type: "linear", "poly" (degree 2) or "rbf" (a sum of three Gaussians).
        normalize: scale features to unit norm first.
    """

    def __init__(self, kernel_type: str = "rbf", normalize: bool = False) -> None:
        super().__init__()
        self.kernel_type = kernel_type
        self.normalize = normalize

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return a scalar for features (m, width) and (n, width)."""
        if self.normalize:
            x, y = F.normalize(x, dim=1), F.normalize(y, dim=1)
        if self.kernel_type == "linear":
            return self.linear_mmd(x, y)
        if self.kernel_type == "poly":
            return self.poly_mmd(x, y)
        if self.kernel_type == "rbf":
            return self.rbf_mmd(x, y)
        raise NotImplementedError(f'kernel_type must be "linear", "poly" or "rbf", but is "{self.kernel_type}"')

    def linear_mmd(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the discrepancy for k(a, b) = ab."""
        return self._discrepancy(x, y, lambda a, b: a @ b.t())

    def poly_mmd(
        self, x: torch.Tensor, y: torch.Tensor, alpha: float = 1.0, c: float = 2.0, d: float = 2
    ) -> torch.Tensor:
        """Return the discrepancy for k(a, b) = (alpha ab + c)^d."""
        return self._discrepancy(x, y, lambda a, b: (alpha * a @ b.t() + c).pow(d))

    def rbf_mmd(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the discrepancy for k(a, b) = a sum of Gaussians of |a - b|."""
        distance, mixture = self.euclidean_squared_distance, self.rbf_kernel_mixture
        return self._discrepancy(x, y, lambda a, b: mixture(distance(a, b)))

    def _discrepancy(
        self, x: torch.Tensor, y: torch.Tensor, kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        within = [self.remove_self_distance(kernel(z, z)).mean() for z in (x, y)]
        return sum(within) - 2 * kernel(x, y).mean()

    @staticmethod
    def rbf_kernel_mixture(exponent: torch.Tensor, sigmas: Sequence[float] = _WIDTHS) -> torch.Tensor:
        """Return the sum over ``sigmas`` of exp(-exponent / (2 sigma^2)), for squared distances of any shape."""
        return sum(torch.exp(-exponent / (2.0 * sigma**2)) for sigma in sigmas)

    @staticmethod
    def remove_self_distance(distmat: torch.Tensor) -> torch.Tensor:
        """Remove the diagonal: (n, n) -> (n, n - 1)."""
        n = distmat.shape[0]
        others = ~torch.eye(n, dtype=torch.bool, device=distmat.device)
        return distmat[others].view(n, n - 1)

    @staticmethod
    def euclidean_squared_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return |a - b|^2 (m, n) for the rows of (m, width) and (n, width)."""
        return euclidean_squared_distance(x, y)
