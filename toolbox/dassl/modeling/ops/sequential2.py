"""A sequence of modules that passes on several tensors."""

from __future__ import annotations

from typing import Any

import torch.nn as nn


class Sequential2(nn.Sequential):
    """``nn.Sequential`` for modules that take several inputs and return a tuple."""

    def forward(self, *inputs: Any) -> Any:
        """Return the output of the last module."""
        for module in self:
            inputs = module(*inputs) if isinstance(inputs, tuple) else module(inputs)
        return inputs
