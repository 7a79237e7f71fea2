"""Optimal transport between two batches, with Sinkhorn's iteration (Cuturi, NeurIPS 2013)."""

from __future__ import annotations

import math

import torch
import torch.nn as nn

from dassl.metrics import cosine_distance, euclidean_squared_distance

_TINY = 1e-8  # inside logarithms of the marginals, as in upstream


class OptimalTransport(nn.Module):
    """Base class of optimal transport divergences: the cost of moving one sample to another."""

    @staticmethod
    def distance(batch1: torch.Tensor, batch2: torch.Tensor, dist_metric: str = "cosine") -> torch.Tensor:
        """Return costs (m, n) between the rows of (m, width) and (n, width).

        Args:
            dist_metric: "cosine" or squared "euclidean"; "fast_euclidean" uses differences and more memory.

        Raises:
            ValueError: the metric is unknown.
        """
        if dist_metric == "cosine":
            return cosine_distance(batch1, batch2)
        if dist_metric == "euclidean":
            return euclidean_squared_distance(batch1, batch2)
        if dist_metric == "fast_euclidean":
            return (batch1.unsqueeze(-2) - batch2.unsqueeze(-3)).pow(2).sum(-1)
        raise ValueError(f'dist_metric must be "cosine", "euclidean" or "fast_euclidean", but is "{dist_metric}"')


class SinkhornDivergence(OptimalTransport):
    """2 W(x, y) - W(x, x) - W(y, y), where W is the cost of the entropic transport plan.

    Args:
        dist_metric: see ``OptimalTransport.distance``.
        eps: weight of the entropy; smaller values are closer to optimal transport.
        max_iter: maximum number of iterations; they stop when a potential changes by less than ``thre`` in total.
        bp_to_sinkhorn: let gradients flow through the plan too, not only through the costs.
    """

    thre = 1e-3

    def __init__(
        self, dist_metric: str = "cosine", eps: float = 0.01, max_iter: int = 5, bp_to_sinkhorn: bool = False
    ) -> None:
        super().__init__()
        self.dist_metric = dist_metric
        self.eps = eps
        self.max_iter = max_iter
        self.bp_to_sinkhorn = bp_to_sinkhorn

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return a scalar for features (m, width) and (n, width)."""
        return 2 * self.transport_cost(x, y) - self.transport_cost(x, x) - self.transport_cost(y, y)

    def transport_cost(
        self, x: torch.Tensor, y: torch.Tensor, return_pi: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return the cost (scalar) of moving ``x`` to ``y``; with ``return_pi`` also the plan (m, n)."""
        costs = self.distance(x, y, dist_metric=self.dist_metric)
        plan = self.sinkhorn_iterate(costs, self.eps, self.max_iter, self.thre)
        if not self.bp_to_sinkhorn:
            plan = plan.detach()
        cost = (plan * costs).sum()
        return (cost, plan) if return_pi else cost

    @staticmethod
    def sinkhorn_iterate(C: torch.Tensor, eps: float, max_iter: int, thre: float) -> torch.Tensor:
        """Return the plan (m, n) for costs ``C`` (m, n) and uniform marginals, computed in the log domain."""
        rows, columns = C.shape
        u, v = C.new_zeros(rows), C.new_zeros(columns)
        log_row, log_column = math.log(1 / rows + _TINY), math.log(1 / columns + _TINY)
        for _ in range(max_iter):
            before = u
            u = eps * (log_row - ((v - C) / eps).logsumexp(1))
            v = eps * (log_column - ((u[:, None] - C) / eps).logsumexp(0))
            if (u - before).abs().sum() < thre:
                break
        return ((u[:, None] + v - C) / eps).exp()


class MinibatchEnergyDistance(SinkhornDivergence):
    """Energy distance between two batches, each split into halves (Salimans et al., ICLR 2018)."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return a scalar for features (m, width) and (n, width). ValueError if m or n is odd."""
        if len(x) % 2 or len(y) % 2:
            raise ValueError(f"Batches of {len(x)} and {len(y)} cannot be halved; both sizes must be even")
        (x1, x2), (y1, y2) = x.chunk(2), y.chunk(2)
        across = sum(self.transport_cost(a, b) for a in (x1, x2) for b in (y1, y2))
        return across - 2 * self.transport_cost(x1, x2) - 2 * self.transport_cost(y1, y2)
