"""Layers whose weights are frozen: the results of PyTorch's own layers, for less time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# On x86 PyTorch multiplies float32 matrices with MKL. oneDNN, which it also includes, takes a tenth less time at a text
# tower's sizes on the machines measured (docs/performance.md), and a third less for the few tokens of task prompts.
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkl.is_available() else None
HAS_ONEDNN = _onednn is not None
# oneDNN adds up an output's products one by one, MKL in blocks, so oneDNN's rounding error grows with the sum's length.
_MAX_INPUTS = 1024
# Newer compilers accept oneDNN's operator only with constant weights. PyTorch 2.1 accepts any, and has no is_compiling.
_compiling = getattr(torch.compiler, "is_compiling", bool)


@contextmanager
def without_onednn() -> Iterator[None]:
    """Compute with PyTorch's usual operators until the context ends, as in a graph that other programs will run."""
    global _onednn, HAS_ONEDNN
    before = _onednn, HAS_ONEDNN
    try:
        _onednn, HAS_ONEDNN = None, False
        yield
    finally:
        _onednn, HAS_ONEDNN = before


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.linear`` for a frozen layer: (tokens, inputs), (outputs, inputs), (outputs,) -> (tokens, outputs)."""
    if _compiling() or _onednn is None or x.device.type != "cpu" or x.dtype != torch.float32 or weight.requires_grad:
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)


def linear_silu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.silu(F.linear(x, weight, bias))``, without a graph."""
    fused = _fused(x, weight, bias, "swish", "")
    return F.silu(F.linear(x, weight, bias), inplace=True) if fused is None else fused


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.gelu(F.linear(x, weight, bias))``, without a graph."""
    fused = _fused(x, weight, bias, "gelu", "none")
    return F.gelu(F.linear(x, weight, bias)) if fused is None else fused


def _fused(x: Tensor, weight: Tensor, bias: Tensor, activation: str, algorithm: str) -> Tensor | None:
    """A product and an activation in one pass; None where oneDNN does not do it."""
    unfit = weight.shape[1] > _MAX_INPUTS or x.device.type != "cpu" or x.dtype != torch.float32
    return None if unfit or _onednn is None else _onednn(x, weight, bias, activation, [], algorithm)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return F.linear(x, weight, bias) if weight.shape[1] > _MAX_INPUTS else _multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _multiply(gradient.contiguous(), weight.t(), None), None, None


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    assert _onednn is not None, "`linear` calls _Linear only where oneDNN is available"
    return _onednn(x, weight, bias, "none", [], "")


class QuickGELU(torch.autograd.Function):
    """CLIP's activation, x sigmoid(1.702 x), computed as silu(1.702 x) / 1.702.

    It takes a third of the product's time and memory, because autograd would keep both factors. The gradient is that of
    silu, since the two scales cancel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scaled = 1.702 * x
        ctx.save_for_backward(scaled)
        return F.silu(scaled).mul_(1 / 1.702)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (scaled,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient, scaled)
