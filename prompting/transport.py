"""Entropic optimal transport between an image's local features and a class's features, as PLOT compares them.

The equations are in trainers/plot.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TEST_VALUES = 1 << 22  # similarities computed at a time without gradients
QUEUED_VALUES = 1 << 25  # scalings kept while Sinkhorn's iterations are queued on a GPU; 256 MiB with a copy


@torch.no_grad()
def sinkhorn(
    cost: Tensor, eps: float, max_iter: int, threshold: float, queued: int = 0, together: int | None = None
) -> Tensor:
    """Return plans (P, M, N) of entropic optimal transport between uniform weights, for P costs (P, M, N) at once.

    A plan is diag(r) K diag(c) with K = exp(-cost / eps); r and c are fitted to the row and column sums in turn.
    ``together`` consecutive problems, by default all P, stop together, when their r changes by less than ``threshold``
    on average. Column sums are exact, and row sums are accurate to that change.

    ``queued`` iterations are computed before the host asks whether to stop, which lets it wait for a GPU; the plans do
    not depend on it. 0: one on a CPU, and on a GPU as many as fit in QUEUED_VALUES.
    """
    kernel = torch.exp(-cost / eps)
    p, m, n = cost.shape
    groups = p // (together or p)
    r, c = torch.ones_like(cost[:, :, :1]), torch.ones_like(cost[:, :1])
    kept_r, kept_c = r, c
    running, left = torch.ones(groups, dtype=torch.bool, device=cost.device), groups
    queued = queued or (1 if cost.device.type == "cpu" else max(1, QUEUED_VALUES // (p * (m + n))))
    for first in range(0, max_iter, queued):
        rs, cs, changes = [], [], []
        for _ in range(first, min(first + queued, max_iter)):
            before = r
            r = 1 / (m * (kernel * c).sum(2, keepdim=True))
            c = 1 / (n * (kernel * r).sum(1, keepdim=True))
            rs.append(r)
            cs.append(c)
            changes.append((r - before).abs().view(groups, -1).mean(1))
        small = torch.stack(changes) < threshold
        found_r, found_c = _where_small(rs, small), _where_small(cs, small)
        if left == groups:
            kept_r, kept_c = found_r, found_c
        else:
            update = running.repeat_interleave(p // groups).view(-1, 1, 1)
            kept_r, kept_c = torch.where(update, found_r, kept_r), torch.where(update, found_c, kept_c)
        if first + queued < max_iter:
            running = running & ~small.any(0)
            left = int(running.sum())
            if not left:
                break
    return kept_r * kernel * kept_c


def _where_small(scalings: list[Tensor], small: Tensor) -> Tensor:
    """Return each group's scaling after the first of some iterations that is ``small``, (iterations, groups) bool, or
    after the last one."""
    if len(scalings) == 1:
        return scalings[0]
    numbers = torch.arange(len(scalings), device=small.device).unsqueeze(1)
    stop = torch.where(small, numbers, len(scalings) - 1).amin(0)
    problems = torch.arange(len(scalings[0]), device=small.device)
    return torch.stack(scalings)[stop.repeat_interleave(len(problems) // len(stop)), problems]


@dataclass(frozen=True)
class Transport:
    """How images and classes are compared.

    Args:
        scale: factor of the similarities, exp(logit_scale).
        eps, max_iter, threshold: see `sinkhorn`.
    """

    scale: float
    eps: float
    max_iter: int
    threshold: float

    def logits(self, image_features: Tensor, text_features: Tensor, each_alone: bool = False) -> Tensor:
        """(images, M, d), (N, n, d) of unit norm -> (images, n).

        ``each_alone``: an image's plans do not depend on the images beside it.
        """
        similarity = torch.einsum("imd,kcd->icmk", image_features, text_features)
        cost = 1 - similarity.flatten(0, 1)
        together = len(text_features[0]) if each_alone else None
        plan = sinkhorn(cost, self.eps, self.max_iter, self.threshold, together=together).view_as(similarity)
        return self.scale * (plan * similarity).sum((2, 3))

    def tested(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """`logits` without gradients, of a few images at a time, each alone."""
        values = image_features.shape[1] * text_features.shape[0] * text_features.shape[1]
        parts = image_features.split(max(1, TEST_VALUES // values))
        return torch.cat([self.logits(part, text_features, each_alone=True) for part in parts])
