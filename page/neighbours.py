"""The training photographs that an image is most like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Thread
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from common.errors import InputError
from prompting.photographs import read_image

Known = tuple[str, str, str]  # a photograph's path, a task, and its class there
MOST = 5000  # photographs that are compared; of more, evenly spaced ones
BATCH = 16  # photographs that are encoded together, between two answers to visitors

T = TypeVar("T")


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` items, evenly spaced."""
    count = min(most, len(items))
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


class Neighbours:
    """Finds the photographs whose features have the largest cosines with an image's.

    Args:
        photographs: those to compare with; each is compared once, under the first of its tasks.
        view: image -> (3, height, width) pixels.
        encode: (B, 3, height, width) pixels -> (B, d) features of unit norm, on the CPU.
    """

    def __init__(
        self,
        photographs: Iterable[Known],
        view: Callable[[Image.Image], Tensor],
        encode: Callable[[Tensor], Tensor],
    ):
        first: dict[str, Known] = {}
        for photograph in photographs:
            first.setdefault(photograph[0], photograph)
        self._waiting = spread(list(first.values()), MOST)
        self._view, self._encode = view, encode
        self._features: Tensor | None = None
        self.photographs: list[Known] = []  # those that were read

    def begin(self) -> None:
        """Read the photographs in another thread, so that the page opens meanwhile."""
        Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Read the photographs. Those that cannot be read are left out."""
        features, readable = [], []
        for first in range(0, len(self._waiting), BATCH):
            pixels = []
            for photograph in self._waiting[first : first + BATCH]:
                try:
                    pixels.append(self._view(read_image(photograph[0])))
                    readable.append(photograph)
                except InputError:
                    continue
            if pixels:
                features.append(self._encode(torch.stack(pixels)))
        self.photographs = readable
        self._features = torch.cat(features) if features else torch.empty(0, 0)

    @property
    def ready(self) -> bool:
        """True when all photographs were read."""
        return self._features is not None

    def nearest(self, feature: Tensor, count: int) -> list[Known]:
        """The ``count`` nearest photographs to a (d,) feature of unit norm, nearest first; none until all were read."""
        if self._features is None or not len(self._features):
            return []
        order = (self._features @ feature).sort(descending=True, stable=True).indices
        return [self.photographs[index] for index in order[:count].tolist()]
