"""Collections of tasks, and the place of each task's classes on the flat class axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

METRICS = {"A": "overall accuracy", "C": "mean per-class accuracy"}


@dataclass(frozen=True)
class Task:
    """One classification task. The meta network reads its name."""

    name: str
    classnames: tuple[str, ...]
    template: str = "a photo of a {}."
    metric: str = "A"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"Task '{self.name}': metric must be one of {sorted(METRICS)}, not '{self.metric}'")
        if not self.classnames:
            raise ValueError(f"Task '{self.name}' has no classes")


@dataclass(frozen=True)
class TaskLayout:
    """The tasks of a collection, in order. The flat class axis holds the classes of one task after the other.

    A single data set is a collection of one task. A sample is (image, task index, flat class index).
    """

    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first flat class index of every task, followed by the number of all classes."""
        offsets = [0]
        for task in self.tasks:
            offsets.append(offsets[-1] + len(task.classnames))
        return tuple(offsets)

    @property
    def n_classes(self) -> int:
        return self.offsets[-1]

    def classes_of(self, task: int) -> range:
        """Return the flat class indices of a task."""
        return range(self.offsets[task], self.offsets[task + 1])

    @cached_property
    def classnames(self) -> tuple[str, ...]:
        """Class names in flat order."""
        return tuple(name for task in self.tasks for name in task.classnames)

    @cached_property
    def task_of_class(self) -> Tensor:
        """(n_classes,) int64: the task of each flat class."""
        sizes = torch.tensor([len(task.classnames) for task in self.tasks])
        return torch.repeat_interleave(torch.arange(len(self)), sizes)

    def classes_of_all(self, tasks: Iterable[int]) -> list[int]:
        """Return the flat class indices of several tasks, in the order of ``tasks``."""
        return [index for task in tasks for index in self.classes_of(task)]
