"""A sequence of modules that hands on several tensors."""

from __future__ import annotations

from typing import Any

import torch.nn as nn


class Sequential2(nn.Sequential):
    """``nn.Sequential`` for modules that take and return more than one input (a tuple)."""

    def forward(self, *inputs: Any) -> Any:
        """What the last module returns."""
        for module in self:
            inputs = module(*inputs) if isinstance(inputs, tuple) else module(inputs)
        return inputs
