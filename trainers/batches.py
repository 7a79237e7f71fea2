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
    """

    def __init__(self, tasks: Sequence[int], batch_size: int):
        self.batch_size = batch_size
        self.members: dict[int, torch.Tensor] = {
            task: torch.tensor([i for i, t in enumerate(tasks) if t == task]) for task in sorted(set(tasks))
        }

    def __len__(self) -> int:
        return sum(max(1, len(members) // self.batch_size) for members in self.members.values())

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        for members in self.members.values():
            shuffled = members[torch.randperm(len(members))]
            count = max(1, len(members) // self.batch_size)
            batches += [shuffled[i * self.batch_size : (i + 1) * self.batch_size].tolist() for i in range(count)]
        for index in torch.randperm(len(batches)).tolist():
            yield batches[index]
