"""Rectified Adam (Liu et al., ICLR 2020) and AdamW with a warm-up, by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


def _steps_done(optimizer: torch.optim.Optimizer, param: torch.Tensor) -> int:
    return int(optimizer.state.get(param, {}).get("step", 0))


class RAdam(torch.optim.RAdam):
    """PyTorch's RAdam with weight decay apart from the gradient, as upstream's own implementation had it.

    PyTorch before 2.2 cannot keep the two apart, hence the shrinking here; ``group["decay"]`` is the weight decay.

    Args:
        degenerated_to_sgd: whether the first steps, of which the variance is not yet known, follow the momentum;
            otherwise they only gather statistics.
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
        self.defaults["decay"] = weight_decay  # groups that are added later get it from there
        for group in self.param_groups:
            group.setdefault("decay", weight_decay)

    def _waits(self, param: torch.Tensor, beta: float) -> bool:
        """Whether the next step of ``param`` only gathers statistics: the paper's rho is 5 at most."""
        if self.degenerated_to_sgd:
            return False
        step = _steps_done(self, param) + 1
        return 2 / (1 - beta) - 1 - 2 * step * beta**step / (1 - beta**step) <= 5

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Shrink every parameter that has a gradient by lr * decay, then step; what ``closure`` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        kept = []
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is None:
                        continue
                    if self._waits(param, group["betas"][1]):
                        kept.append((param, param.clone()))
                    else:
                        param.mul_(1 - group["lr"] * group.get("decay", 0))
        super().step()
        with torch.no_grad():
            for param, value in kept:
                param.copy_(value)
        return loss


class PlainRAdam(RAdam):
    """The same; upstream's was written out without a cache."""


class AdamW(torch.optim.AdamW):
    """PyTorch's AdamW, whose learning rate rises from 0 in the first ``warmup`` steps."""

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
        """A step; what ``closure`` returned."""
        rates = [group["lr"] for group in self.param_groups]
        for group, rate in zip(self.param_groups, rates, strict=True):
            step = 1 + max((_steps_done(self, param) for param in group["params"]), default=0)
            warmup = group.get("warmup", 0)  # none in the state of an optimiser of another make
            if warmup > step:
                group["lr"] = 1e-8 + step * rate / warmup
        try:
            return super().step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate
