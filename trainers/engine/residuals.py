"""A residual of the images on top of a method's prompts: `prompting.residual`, for trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifier.bundle import read_bundle
from classifier.calibration import common_temperature
from common.errors import InputError
from prompting.losses import unit
from prompting.residual import Residual, Shots, fit_residuals
from prompting.tasks import TaskLayout
from trainers.engine.settings import noted_settings

FIT = "RESIDUAL.FIT"
# Learned prompts lean towards the shots, which the residual hears anyway, and templates do not. So t_c is a mean in
# which the template counts twice. Of 0, 1/4, 1/2, 1 and 2, 1/2 did best on the validation images of Garden-8 and
# plants7 at 1 to 16 shots, and 1/4 as well.
LEARNED = 0.5


@dataclass(frozen=True)
class Fitted:
    """A residual, ready for a head.

    Args:
        weight: (classes, d) class weights, of any norm.
        text: alpha_0, the length of the weights of classes that are answered by the text alone.
        tasks: how each task's was fitted; none if it was read from a run.
    """

    weight: Tensor
    text: float
    tasks: tuple[Residual, ...] = ()

    def recorded(self, layout: TaskLayout) -> dict[str, Any]:
        """Return the entry "residual" of results.json."""
        tasks = [
            {"name": task.name, "alpha": one.alpha, "c": one.choice.c, "folds": one.choice.folds}
            for task, one in zip(layout.tasks, self.tasks, strict=False)
        ]
        return {"alpha_0": self.text, "tasks": tasks}


def fitted(
    layout: TaskLayout,
    shots: Sequence[tuple[Tensor, Tensor]],
    templates: Tensor,
    learned: Tensor,
    scale: float,
    c: float,
) -> Fitted:
    """Fit the residuals of all tasks to their shots.

    Args:
        shots: of each task (N, d) image features of unit norm and (N,) classes among its own.
        templates: (classes, d) features of hand-written prompts, of unit norm.
        learned: those of the method's prompts; the templates again if it has none of its own.
        scale: the tower's logit scale.
        c: as in `fit_residuals`.
    """
    sizes = [len(task.classnames) for task in layout.tasks]
    tasks = [Shots(x, y, own) for (x, y), own in zip(shots, templates.split(sizes), strict=True)]
    start = unit(templates + LEARNED * learned).split(sizes)
    alpha = weight_of_text(tasks, scale)
    found = fit_residuals(tasks, start, scale, alpha, c)
    return Fitted(torch.cat([one.weight for one in found]).to(learned), alpha, tuple(found))


def weight_of_text(tasks: Sequence[Shots], scale: float) -> float:
    """Return alpha_0: how much the logits of the templates have to be scaled to suit all shots."""
    return 1 / common_temperature([(scale * task.x @ task.templates.t(), task.y) for task in tasks])


def lines(layout: TaskLayout, found: Fitted) -> list[str]:
    """Return a line on each task, for the log."""
    return [
        f"task {index} ({task.name}): text {one.alpha:.3g}, C {one.choice.c:g}, "
        + (f"by {one.choice.folds} folds" if one.choice.folds else "not cross-validated")
        for index, (task, one) in enumerate(zip(layout.tasks, found.tasks, strict=True))
    ]


def rows_in(folder: Path, layout: TaskLayout, learned: Tensor) -> Fitted:
    """Return the class weights of a finished run that was trained with a residual, for these tasks.

    A residual belongs to classes: a task that has a class which the run's did not have, or that the run did not have,
    keeps its ``learned`` features, (classes, d) of unit norm, times alpha_0.

    Raises:
        InputError: the run has no residual, or it is not finished.
    """
    if not (noted_settings(folder) or {}).get(FIT):
        raise InputError(f"The run in {folder} was trained without a residual; evaluate it with {FIT} False.")
    bundle = read_bundle(folder)
    values, tensors = bundle.heads[0]
    trained, text = tensors["weight"].to(learned), float(values.get("text", 1.0))
    place = {
        (task.name, name): bundle.layout.offsets[index] + number
        for index, task in enumerate(bundle.layout.tasks)
        for number, name in enumerate(task.classnames)
    }
    rows = text * learned
    for index, task in enumerate(layout.tasks):
        found = [place.get((task.name, name)) for name in task.classnames]
        known = [row for row in found if row is not None]
        if len(known) == len(found):
            rows[layout.offsets[index] : layout.offsets[index + 1]] = trained[known]
    return Fitted(rows, text)
