"""The tasks of a batch's images, as the host knows them."""

from __future__ import annotations

from torch import Tensor

from prompting.transfers import on_host, upload


def tasks_of(task: Tensor) -> list[int]:
    """Return the tasks that occur in (batch,) tasks, in ascending order."""
    return sorted(set(on_host(task)))


def rows_of_tasks(task: Tensor) -> dict[int, Tensor]:
    """Return the (n,) int64 rows of each task's images in (batch,) tasks, on the same device."""
    rows: dict[int, list[int]] = {index: [] for index in tasks_of(task)}
    for row, index in enumerate(on_host(task)):
        rows[index].append(row)
    return {index: upload(mine, task.device) for index, mine in rows.items()}
