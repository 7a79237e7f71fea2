"""Gradient reversal."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch.autograd import Function


class _ReverseGrad(Function):
    @staticmethod
    def forward(ctx, input, grad_scaling):
        ctx.grad_scaling = grad_scaling
        return input.view_as(input)

    @staticmethod
    def backward(ctx, grad_output):
        return -ctx.grad_scaling * grad_output, None


reverse_grad = _ReverseGrad.apply


class ReverseGrad(nn.Module):
    """An identity whose gradient is multiplied by ``-grad_scaling``; ``grad_scaling`` must be 0 or more."""

    def forward(self, x: torch.Tensor, grad_scaling: float = 1.0) -> torch.Tensor:
        """Return ``x``."""
        if grad_scaling < 0:
            raise ValueError(f"grad_scaling must not be negative, but is {grad_scaling}")
        return reverse_grad(x, grad_scaling)
