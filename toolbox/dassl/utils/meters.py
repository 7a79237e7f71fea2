"""Running averages for a training loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch

__all__ = ["AverageMeter", "MetricMeter"]


class AverageMeter:
    """The latest value and the mean of all values.

    Args:
        ema: ``avg`` is an exponential moving average (0.9 old, 0.1 new) that starts at 0, instead of the mean.
    """

    def __init__(self, ema: bool = False) -> None:
        self.ema = ema
        self.reset()

    def reset(self) -> None:
        """Start again from zero."""
        self.val: float = 0
        self.avg: float = 0
        self.sum: float = 0
        self.count = 0

    def update(self, val: float | torch.Tensor, n: int = 1) -> None:
        """Add ``val``, the mean over ``n`` items; a tensor must hold one element."""
        if isinstance(val, torch.Tensor):
            val = val.item()
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = 0.9 * self.avg + 0.1 * val if self.ema else self.sum / self.count


class MetricMeter:
    """Named ``AverageMeter``s; as a string ``loss 0.5000 (0.6100) acc 81.2500 (79.0000)``: latest (mean)."""

    def __init__(self, delimiter: str = " ") -> None:
        self.meters: defaultdict[str, AverageMeter] = defaultdict(AverageMeter)
        self.delimiter = delimiter

    def update(self, input_dict: Mapping[str, float | torch.Tensor] | None) -> None:
        """Add one value per name; None is ignored. TypeError for anything but a dictionary."""
        if input_dict is None:
            return
        if not isinstance(input_dict, Mapping):
            raise TypeError(f"MetricMeter.update() takes a dictionary of numbers, not a {type(input_dict).__name__}")
        for name, value in input_dict.items():
            self.meters[name].update(value)

    def __str__(self) -> str:
        return self.delimiter.join(f"{name} {m.val:.4f} ({m.avg:.4f})" for name, m in self.meters.items())
