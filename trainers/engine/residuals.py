"""A residual of the images on top of a method's prompts: `prompting.residual`, for trainers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from classifier.bundle import read_bundle
from classifier.calibration import temperatures_of
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


def fitted(
    layout: TaskLayout, shots: tuple[Tensor, Tensor], templates: Tensor, learned: Tensor, scale: float, c: float
) -> list[Residual]:
    """Fit the residuals of all tasks to their shots.

    Args:
        shots: (N, d) image features of unit norm and their (N,) flat class indices.
        templates: (classes, d) features of hand-written prompts, of unit norm.
        learned: those of the method's prompts; the templates again if it has none of its own.
        scale: the tower's logit scale.
        c: as in `fit_residuals`.
    """
    x, y = shots
    task_of_image = layout.task_of_class.to(y.device)[y]
    features = unit(templates + LEARNED * learned)
    tasks, start = [], []
    for index in range(len(layout)):
        classes, mine = layout.classes_of(index), task_of_image == index
        rows = slice(classes.start, classes.stop)
        tasks.append(Shots(x[mine], y[mine] - classes.start, templates[rows]))
        start.append(features[rows])
    return fit_residuals(tasks, start, scale, weight_of_text(tasks, scale), c)


def weight_of_text(tasks: Sequence[Shots], scale: float) -> float:
    """Return alpha_0: how much the logits of the templates have to be scaled to suit all shots."""
    logits = [(scale * task.x @ task.templates.t(), task.y) for task in tasks]
    # A task without images gets the temperature that all tasks have in common.
    return 1 / temperatures_of([*logits, (torch.empty(0, 2), torch.empty(0, dtype=torch.long))])[-1]


def lines(layout: TaskLayout, residuals: Sequence[Residual]) -> list[str]:
    """Return a line on each task, for the log."""
    return [
        f"task {index} ({task.name}): text {one.alpha:.3g}, C {one.choice.c:g}, "
        + (f"by {one.choice.folds} folds" if one.choice.folds else "not cross-validated")
        for index, (task, one) in enumerate(zip(layout.tasks, residuals, strict=True))
    ]


def rows_in(folder: Path, layout: TaskLayout, learned: Tensor) -> Tensor:
    """Return the class weights of a finished run that was trained with a residual, for these tasks.

    A residual belongs to classes: a task that has a class which the run's did not have, or that the run did not have,
    keeps its ``learned`` features, (classes, d) of unit norm.

    Raises:
        InputError: the run has no residual, or it is not finished.
    """
    if not (noted_settings(folder) or {}).get(FIT):
        raise InputError(f"The run in {folder} was trained without a residual; evaluate it with {FIT} False.")
    bundle = read_bundle(folder)
    trained = bundle.heads[0][1]["weight"].to(learned)
    place = {
        (task.name, name): bundle.layout.offsets[index] + number
        for index, task in enumerate(bundle.layout.tasks)
        for number, name in enumerate(task.classnames)
    }
    rows = learned.clone()
    for index, task in enumerate(layout.tasks):
        found = [place.get((task.name, name)) for name in task.classnames]
        known = [row for row in found if row is not None]
        if len(known) == len(found):
            rows[layout.offsets[index] : layout.offsets[index + 1]] = trained[known]
    return rows
