"""Batch normalization with separate statistics for each domain."""

from __future__ import annotations

import torch
import torch.nn as nn


class _DSBN(nn.Module):
    """One batch norm per domain; ``select_bn`` selects the one to use."""

    def __init__(self, num_features: int, n_domain: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.bn = nn.ModuleList(norm(num_features) for _ in range(n_domain))
        self.valid_domain_idxs = list(range(n_domain))
        self.n_domain = n_domain
        self.domain_idx = 0

    def select_bn(self, domain_idx: int = 0) -> None:
        """Use the batch norm of this domain from now on; ValueError if there is none."""
        if domain_idx not in self.valid_domain_idxs:
            raise ValueError(f"Domain {domain_idx} has no batch norm; there are {self.n_domain}, counted from 0")
        self.domain_idx = domain_idx

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``x``; the shape stays."""
        return self.bn[self.domain_idx](x)


class DSBN1d(_DSBN):
    """For features (batch, num_features)."""

    def __init__(self, num_features: int, n_domain: int) -> None:
        super().__init__(num_features, n_domain, nn.BatchNorm1d)


class DSBN2d(_DSBN):
    """For feature maps (batch, num_features, H, W)."""

    def __init__(self, num_features: int, n_domain: int) -> None:
        super().__init__(num_features, n_domain, nn.BatchNorm2d)
