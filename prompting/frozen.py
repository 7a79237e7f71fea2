"""Layers of a frozen tower, whose weights need no gradient: the same numbers for less time and memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# PyTorch multiplies float32 matrices on x86 by MKL; oneDNN, which it has too, takes a tenth less at the sizes of a
# text tower on the machines measured (docs/performance.md), a third at the few tokens of task prompts.
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkl.is_available() else None
# oneDNN adds up an output's products in one run, MKL in blocks: the longer the sum, the more that matters.
_LONGEST_SUM = 1024
# Newer compilers take oneDNN's operator with constant weights alone; PyTorch 2.1, which cannot be asked, takes any.
_compiling = getattr(torch.compiler, "is_compiling", bool)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.linear`` for a frozen layer: (tokens, inputs), (outputs, inputs), (outputs,) -> (tokens, outputs)."""
    if _compiling() or _onednn is None or x.device.type != "cpu" or x.dtype != torch.float32 or weight.requires_grad:
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        if weight.shape[1] > _LONGEST_SUM:
            return F.linear(x, weight, bias)
        return _onednn(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _onednn(gradient.contiguous(), weight.t(), None, "none", [], ""), None, None


class QuickGELU(torch.autograd.Function):
    """x sigmoid(1.702 x) = silu(1.702 x) / 1.702: CLIP's activation in a third of the time and memory of its spelling
    as a product, whose factors autograd keeps. The gradient is that of silu, since both scales cancel."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        scaled = 1.702 * x
        ctx.save_for_backward(scaled)
        return F.silu(scaled).mul_(1 / 1.702)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (scaled,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient, scaled)
