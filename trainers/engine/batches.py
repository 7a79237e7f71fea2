"""Batches of one task each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


class OneTaskBatches(Sampler):
    """Every batch holds samples of a single task; each task is batched as if it were a data set of its own.

    That is: shuffled within the task, batches of ``batch_size``, a last incomplete batch dropped unless it is the only
    one (Dassl's rule). Batches of different tasks are shuffled among each other. A method whose parameters belong to
    one task each, and whose optimiser leaves parameters without gradient alone, thereby trains every task exactly as
    if by itself.

    With ``steps``, every task has so many batches in all of ``epochs`` epochs, whatever its size: from as many passes
    over its images as an epoch's share takes, incomplete batches kept. Shares differ by one at most. ``epoch`` is set
    from outside.
    """

    def __init__(self, tasks: Sequence[int], batch_size: int, steps: int | None = None, epochs: int = 1):
        self.batch_size, self.steps, self.epochs, self.epoch = batch_size, steps, epochs, 0
        self.members: dict[int, torch.Tensor] = {
            task: torch.tensor([i for i, t in enumerate(tasks) if t == task]) for task in sorted(set(tasks))
        }

    def _count(self, members: torch.Tensor) -> int:
        if self.steps is None:
            return max(1, len(members) // self.batch_size)
        return (self.epoch + 1) * self.steps // self.epochs - self.epoch * self.steps // self.epochs

    def __len__(self) -> int:
        return sum(map(self._count, self.members.values()))

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        for members in self.members.values():
            mine: list[torch.Tensor] = []
            while len(mine) < self._count(members):
                mine += members[torch.randperm(len(members))].split(self.batch_size)
            batches += [batch.tolist() for batch in mine[: self._count(members)]]
        for index in torch.randperm(len(batches)).tolist():
            yield batches[index]


class JointThenOneTask(Sampler):
    """The batches of ``joint`` before epoch ``first``, those of ``separate`` from it on. ``epoch`` is set from
    outside."""

    def __init__(self, joint: Sampler, separate: OneTaskBatches, first: int):
        self.joint, self.separate, self.first, self.epoch = joint, separate, first, 0

    def _now(self) -> Sampler:
        return self.joint if self.epoch < self.first else self.separate

    def __len__(self) -> int:
        return len(self._now())

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._now())
