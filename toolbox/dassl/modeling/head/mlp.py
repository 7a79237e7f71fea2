"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn

from .build import HEAD_REGISTRY


class MLP(nn.Module):
    """Linear layers, each followed by batch norm (if ``bn``), activation and dropout (if above 0).

    Args:
        in_features: width of the input.
        hidden_layers: widths of one or more layers; the last is ``out_features``.
        activation: "relu" or "leaky_relu".

    Raises:
        ValueError: there are no layers.
        NotImplementedError: the activation is unknown.
    """

    def __init__(
        self,
        in_features: int = 2048,
        hidden_layers: int | Sequence[int] = (),
        activation: str = "relu",
        bn: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [hidden_layers] if isinstance(hidden_layers, int) else list(hidden_layers)
        if not widths:
            raise ValueError("MODEL.HEAD.HIDDEN_LAYERS is empty; an mlp needs at least one width")
        activations = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}
        if activation not in activations:
            raise NotImplementedError(
                f'MODEL.HEAD.ACTIVATION must be one of {", ".join(activations)}, not "{activation}"'
            )
        self.out_features = widths[-1]
        layers: list[nn.Module] = []
        for width in widths:
            layers.append(nn.Linear(in_features, width))
            if bn:
                layers.append(nn.BatchNorm1d(width))
            layers.append(activations[activation](inplace=True))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            in_features = width
        self.mlp = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_features) -> (batch, out_features)."""
        return self.mlp(x)


@HEAD_REGISTRY.register()
def mlp(**kwargs: Any) -> MLP:
    """Build an ``MLP``."""
    return MLP(**kwargs)
