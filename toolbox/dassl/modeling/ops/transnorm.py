"""Transferable normalization (Wang et al., NeurIPS 2019)."""

from __future__ import annotations

import torch
import torch.nn as nn

_DIMENSIONS = {2: "(batch, channels)", 4: "(batch, channels, height, width)"}


class _TransNorm(nn.Module):
    """Batch norm with separate statistics for source and target, and more weight on channels that agree in both.

    A training batch has the source in its first half and the target in its second. Evaluation uses the target's
    running statistics.

    Args:
        num_features: channels.
        eps: keeps divisions finite.
        momentum: weight of the OLD running statistics in the new ones, as in upstream; in ``nn.BatchNorm2d`` it is the
            weight of the new ones.
        adaptive_alpha: weight the channels.
    """

    dimension: int

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, adaptive_alpha: bool = True
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.adaptive_alpha = adaptive_alpha
        for domain in "st":
            self.register_buffer(f"running_mean_{domain}", torch.zeros(num_features))
            self.register_buffer(f"running_var_{domain}", torch.ones(num_features))
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def resnet_running_stats(self) -> None:
        """Reset the running statistics to mean 0 and variance 1 (the name is upstream's)."""
        for domain in "st":
            getattr(self, f"running_mean_{domain}").zero_()
            getattr(self, f"running_var_{domain}").fill_(1)

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def _check_input(self, x: torch.Tensor) -> None:
        if x.dim() != self.dimension:
            raise ValueError(
                f"Expected the input to be {self.dimension}-D {_DIMENSIONS[self.dimension]}, but got {x.dim()}-D"
            )
        if self.training and x.shape[0] % 2:
            raise ValueError(
                f"A batch of {x.shape[0]} cannot be halved; source and target must have the same number of samples"
            )

    def _normalize(self, x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
        mean, scale, weight, bias = (self._spread(v) for v in (mean, (var + self.eps).sqrt(), self.weight, self.bias))
        return (x - mean) / scale * weight + bias

    def _spread(self, channels: torch.Tensor) -> torch.Tensor:
        return channels.view(1, -1, *[1] * (self.dimension - 2))

    def _batch_statistics(self, x: torch.Tensor, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
        over = [axis for axis in range(x.dim()) if axis != 1]
        mean, var = x.mean(over), x.var(over)
        for running, new in ((f"running_mean_{domain}", mean), (f"running_var_{domain}", var)):
            getattr(self, running).mul_(self.momentum).add_(new.detach(), alpha=1 - self.momentum)
        return mean, var

    def _compute_alpha(
        self, mean_s: torch.Tensor, var_s: torch.Tensor, mean_t: torch.Tensor, var_t: torch.Tensor
    ) -> torch.Tensor:
        """Return weights (channels,) with mean 1: larger where mean / deviation of the two domains is closer."""
        distance = (mean_s / (var_s + self.eps).sqrt() - mean_t / (var_t + self.eps).sqrt()).abs()
        similarity = 1 / (1 + distance)
        return self.num_features * similarity / similarity.sum()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise ``input``; the shape stays. ValueError for wrong dimensions, or an odd batch while training."""
        self._check_input(input)
        if self.training:
            halves = input.chunk(2)
            source, target = (self._batch_statistics(half, domain) for half, domain in zip(halves, "st", strict=True))
            output = torch.cat([self._normalize(halves[0], *source), self._normalize(halves[1], *target)])
        else:
            source = self.running_mean_s, self.running_var_s
            target = self.running_mean_t, self.running_var_t
            output = self._normalize(input, *target)
        if self.adaptive_alpha:
            output = output * (1 + self._spread(self._compute_alpha(*source, *target).detach()))
        return output


class TransNorm1d(_TransNorm):
    """For features (batch, num_features)."""

    dimension = 2


class TransNorm2d(_TransNorm):
    """For feature maps (batch, num_features, H, W)."""

    dimension = 4
