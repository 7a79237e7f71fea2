"""The temperatures of a run's tasks, from its validation images or from the run that it evaluates.

A method that chooses something on the validation images (TEST.FINAL_MODEL best_val, Tip-Adapter's alpha and beta,
LP-CLIP's C) fits them a little, so there its confidences come out a little too high.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from classifier.calibration import Labelled, merged_temperature, temperatures_of
from common.text import counted
from datasets.images import SeededImages
from prompting.tasks import TaskLayout

NO_LABELS = torch.empty(0, dtype=torch.long)
MOST = 1000  # validation images of a task: more say little more about one number, and have to be encoded


class Temperature(NamedTuple):
    """A task's temperature, and what it is from, in a few words."""

    value: float
    source: str


def by_task(batches: Iterable[Labelled], layout: TaskLayout) -> list[Labelled]:
    """Return the (N, C) logits of its own classes and the (N,) labels among them of each task's images, on the CPU.

    ``batches`` are (batch, classes) logits on the flat class axis and (batch,) flat class indices.
    """
    found: list[list[Labelled]] = [[(torch.empty(0, len(task.classnames)), NO_LABELS)] for task in layout.tasks]
    for logits, label in batches:
        logits, label = logits.float().cpu(), label.cpu()
        tasks = layout.task_of_class[label]
        for task in tasks.unique().tolist():
            classes, mine = layout.classes_of(task), tasks == task
            found[task].append((logits[mine, classes.start : classes.stop], label[mine] - classes.start))
    return [(torch.cat(logits), torch.cat(labels)) for logits, labels in (zip(*parts, strict=True) for parts in found)]


def some_of(loader: DataLoader) -> DataLoader:
    """Return the loader itself, or one of fewer images: MOST of a task at even distances, so of all its classes."""
    images = loader.dataset
    assert isinstance(images, SeededImages)
    of_task: dict[int, list[Any]] = {}
    for item in images.data_source:
        of_task.setdefault(item.domain, []).append(item)
    if all(len(items) <= MOST for items in of_task.values()):
        return loader
    chosen = [
        items[number * len(items) // MOST] if len(items) > MOST else items[number]
        for items in of_task.values()
        for number in range(min(len(items), MOST))
    ]
    fewer = SeededImages(images.cfg, chosen, transform=images.transform)
    return DataLoader(fewer, batch_size=loader.batch_size, num_workers=loader.num_workers)


def fitted(tasks: Sequence[Labelled], layout: TaskLayout) -> list[Temperature]:
    """Return the temperatures that suit the validation images, which are `by_task`; see `classifier.calibration`.

    Raises:
        ValueError: a logit is not finite.
    """
    found = []
    for value, (_, labels), one in zip(temperatures_of(tasks), tasks, layout.tasks, strict=True):
        if len(one.classnames) < 2:
            found.append(Temperature(1.0, "one class"))
        elif len(labels):
            found.append(Temperature(value, counted(len(labels), "validation image")))
        elif any(len(others) for _, others in tasks):
            found.append(Temperature(value, "no validation images of its own; those of the other tasks"))
        else:
            found.append(Temperature(1.0, "no validation images"))
    return found


def taken_over(trained: Mapping[str, Temperature], layout: TaskLayout) -> list[Temperature]:
    """Return the temperatures of another run, by the tasks' names; a task that it lacks has the geometric mean.

    So no label of tasks or classes that are new in an evaluation is used.
    """
    mean = Temperature(merged_temperature([t.value for t in trained.values()]), "the evaluated run's other tasks")
    return [trained.get(task.name, mean) for task in layout.tasks]
