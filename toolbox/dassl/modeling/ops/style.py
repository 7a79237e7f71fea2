"""Shared by MixStyle and EFDMix: when to mix, with which samples, and switches for a whole model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn


class StyleMixer(nn.Module):
    """Mixes feature statistics of different samples of a batch in training; an identity in evaluation.

    Args:
        p: probability of mixing in a forward pass.
        alpha: parameter of the Beta distribution of the mixing weights.
        eps: keeps divisions finite.
        mix: "random" (any partner), or "crossdomain" (partners from the other half of the batch).
    """

    def __init__(self, p: float = 0.5, alpha: float = 0.1, eps: float = 1e-6, mix: str = "random") -> None:
        super().__init__()
        self.p = p
        self.beta = torch.distributions.Beta(alpha, alpha)
        self.eps = eps
        self.alpha = alpha
        self.mix = mix
        self._activated = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, alpha={self.alpha}, eps={self.eps}, mix={self.mix})"

    def set_activation_status(self, status: bool = True) -> None:
        """Switch mixing on or off."""
        self._activated = status

    def update_mix_method(self, mix: str = "random") -> None:
        """Set ``mix``."""
        self.mix = mix

    def _partners(self, batch: int) -> torch.Tensor:
        """Return the index of each sample's partner, (batch,)."""
        if self.mix == "random":
            return torch.randperm(batch)
        if self.mix == "crossdomain":
            second, first = torch.arange(batch - 1, -1, -1).chunk(2)
            second = second[torch.randperm(second.shape[0])]
            return torch.cat([second, first[torch.randperm(first.shape[0])]])
        raise NotImplementedError(f'mix must be "random" or "crossdomain", but is "{self.mix}"')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return feature maps (batch, channels, H, W), mixed or unchanged."""
        if not self.training or not self._activated or random.random() > self.p:
            return x
        weights = self.beta.sample((x.size(0), 1, 1, 1)).to(x.device)
        return self._mix(x, weights, self._partners(x.size(0)))

    def _mix(self, x: torch.Tensor, weights: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


Switch = Callable[[nn.Module], None]


def switches(kind: type[StyleMixer]) -> tuple[Switch, Switch, Switch, Switch]:
    """Return (activate, deactivate, random, crossdomain) for ``model.apply``; they change only layers of this class."""

    def on(layer: nn.Module) -> bool:
        return type(layer) is kind

    def activate(m: nn.Module) -> None:
        """Switch mixing on."""
        if on(m):
            m.set_activation_status(True)

    def deactivate(m: nn.Module) -> None:
        """Switch mixing off."""
        if on(m):
            m.set_activation_status(False)

    def at_random(m: nn.Module) -> None:
        """Mix with any partner."""
        if on(m):
            m.update_mix_method("random")

    def crossdomain(m: nn.Module) -> None:
        """Mix with partners from the other half of the batch."""
        if on(m):
            m.update_mix_method("crossdomain")

    return activate, deactivate, at_random, crossdomain


def contexts(kind: type[StyleMixer]) -> tuple[Callable, Callable]:
    """Return (run_with, run_without): context managers inside which the model mixes, or does not."""
    activate, deactivate, at_random, crossdomain = switches(kind)

    @contextmanager
    def run_with(model: nn.Module, mix: str | None = None) -> Iterator[None]:
        """Mix inside the context, but not after it; ``mix`` sets the partners."""
        if mix is not None:
            model.apply({"random": at_random, "crossdomain": crossdomain}[mix])
        try:
            model.apply(activate)
            yield
        finally:
            model.apply(deactivate)

    @contextmanager
    def run_without(model: nn.Module) -> Iterator[None]:
        """Do not mix inside the context, but after it."""
        try:
            model.apply(deactivate)
            yield
        finally:
            model.apply(activate)

    return run_with, run_without
