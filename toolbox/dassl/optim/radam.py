"""Rectified Adam (Liu et al., ICLR 2020) and AdamW with a warm-up, based on PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


def _steps_done(optimizer: torch.optim.Optimizer, param: torch.Tensor) -> int:
    return int(optimizer.state.get(param, {}).get("step", 0))


class RAdam(torch.optim.RAdam):
    """PyTorch's RAdam with weight decay decoupled from the gradient, as in upstream's own implementation.

    PyTorch before 2.2 cannot decouple the two, so ``step`` shrinks the weights; ``group["decay"]`` is the weight decay.

    Args:
        degenerated_to_sgd: let the first steps, whose variance is not known yet, follow the momentum; otherwise they
            only collect statistics.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        degenerated_to_sgd: bool = True,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)
        self.degenerated_to_sgd = degenerated_to_sgd
        self.defaults["decay"] = weight_decay  # for groups that are added later
        for group in self.param_groups:
            group.setdefault("decay", weight_decay)

    def _skips_update(self, param: torch.Tensor, beta: float) -> bool:
        """Return whether the next step only collects statistics for ``param``: the paper's rho is at most 5."""
        if self.degenerated_to_sgd:
            return False
        step = _steps_done(self, param) + 1
        return 2 / (1 - beta) - 1 - 2 * step * beta**step / (1 - beta**step) <= 5

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Shrink every parameter that has a gradient by lr * decay, then step; return the result of ``closure``."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        skipped = []
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is None:
                        continue
                    if self._skips_update(param, group["betas"][1]):
                        skipped.append((param, param.clone()))
                    else:
                        param.mul_(1 - group["lr"] * group.get("decay", 0))
        super().step()
        with torch.no_grad():
            for param, value in skipped:
                param.copy_(value)
        return loss


class PlainRAdam(RAdam):
    """The same as ``RAdam``; upstream's version is written without a cache."""


class AdamW(torch.optim.AdamW):
    """PyTorch's AdamW with a learning rate that rises from 0 over the first ``warmup`` steps."""

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        warmup: int = 0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.defaults["warmup"] = warmup
        for group in self.param_groups:
            group.setdefault("warmup", warmup)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return the result of ``closure``."""
        rates = [group["lr"] for group in self.param_groups]
        for group, rate in zip(self.param_groups, rates, strict=True):
            step = 1 + max((_steps_done(self, param) for param in group["params"]), default=0)
            warmup = group.get("warmup", 0)  # missing in the state of another AdamW
            if warmup > step:
                group["lr"] = 1e-8 + step * rate / warmup
        try:
            return super().step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate
