"""What a classifier answers: probabilities of each task's classes, for some images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prompting.tasks import Task


@dataclass(frozen=True)
class TaskPredictions:
    """One task's answers for N images: (N, classes) float32 ``probabilities`` on the CPU, whose rows sum to 1."""

    task: Task
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.probabilities)

    def classes(self, top: int = 1) -> list[list[tuple[str, float]]]:
        """Return each image's ``top`` most probable classes with their probabilities, best first; at most all.

        Of equally probable classes, the one that the task lists first comes first.
        """
        values, indices = self.probabilities.sort(dim=1, descending=True, stable=True)
        names = self.task.classnames
        return [
            [(names[i], p) for i, p in zip(row[:top], of_row[:top], strict=True)]
            for row, of_row in zip(indices.tolist(), values.tolist(), strict=True)
        ]

    @property
    def margin(self) -> Tensor:
        """(N,) the best probability minus the second best; 1 in a task of a single class."""
        best = self.probabilities.topk(min(2, self.probabilities.shape[1]), dim=1).values
        return best[:, 0] - best[:, 1] if best.shape[1] > 1 else best[:, 0]


@dataclass(frozen=True)
class Predictions:
    """The answers of every task for the same N images, in the order in which they were given."""

    per_task: tuple[TaskPredictions, ...]

    def __len__(self) -> int:
        return len(self.per_task[0]) if self.per_task else 0
