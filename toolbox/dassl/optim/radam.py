"""Rectified Adam (Liu et al., ICLR 2020), by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import RAdam as _RAdam

__all__ = ["RAdam"]


class RAdam(_RAdam):
    """PyTorch's RAdam with weight decay apart from the gradient, as upstream's own implementation had it.

    PyTorch before 2.2 cannot keep the two apart, hence the shrinking here; ``group["decay"]`` is the weight decay.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)
        for group in self.param_groups:
            group.setdefault("decay", weight_decay)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Shrink every parameter that has a gradient by lr * decay, then step; what ``closure`` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        param.mul_(1 - group["lr"] * group.get("decay", 0))
        super().step()
        return loss
