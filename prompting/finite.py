"""Checks for NaN and infinity: what is not finite in weights and features ends a run, with a line that names it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def is_finite(tensor: Tensor) -> bool:
    """Return whether no value is NaN or infinite; one pass over the values, without a copy in float32 and float64."""
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()  # not every PyTorch has the minimum of half precision on CPUs
    least, most = torch.aminmax(tensor)
    return bool(torch.isfinite(least) & torch.isfinite(most))


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first tensor with a NaN or an infinity; None if there is none."""
    return next((name for name, tensor in tensors if not is_finite(tensor)), None)
