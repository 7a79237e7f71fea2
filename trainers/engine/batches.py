"""Batches that contain images of a single task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import BatchSampler, Sampler


class OneTaskBatches(Sampler[list[int]]):
    """Batches of one task each, as if every task were a data set of its own.

    A task's images are shuffled and split into batches of ``batch_size``. An incomplete last batch is dropped unless it
    is the task's only one (Dassl's rule). The batches of all tasks are then shuffled together. If every parameter
    belongs to one task, and the optimiser skips parameters without a gradient, each task is trained exactly as if it
    were alone.

    With ``steps``, every task has that many batches over all ``epochs`` epochs, whatever its size: an epoch makes as
    many passes over the task's images as its share needs, and incomplete batches are kept. The shares of any two
    epochs differ by at most one batch. The caller sets ``epoch``.
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
            drawn: list[torch.Tensor] = []
            while len(drawn) < self._count(members):
                drawn += members[torch.randperm(len(members))].split(self.batch_size)
            batches += [batch.tolist() for batch in drawn[: self._count(members)]]
        for index in torch.randperm(len(batches)).tolist():
            yield batches[index]


class JointThenOneTask(Sampler[list[int]]):
    """The batches of ``joint`` before epoch ``first``, and those of ``separate`` from then on.

    The caller sets ``epoch``.
    """

    def __init__(self, joint: BatchSampler, separate: OneTaskBatches, first: int):
        self.joint, self.separate, self.first, self.epoch = joint, separate, first, 0

    def _current(self) -> BatchSampler | OneTaskBatches:
        return self.joint if self.epoch < self.first else self.separate

    def __len__(self) -> int:
        return len(self._current())

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._current())
