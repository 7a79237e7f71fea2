"""What tables can show of a run's tasks: accuracy, or how far confidences are from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from common.chance import chance
from runs.results import Run, TaskScore

SPREAD = "± is the population standard deviation over seeds."


@dataclass(frozen=True)
class Measure:
    """A figure in percent.

    Args:
        name: after --show.
        title: in headings.
        legend: what it is, below a table.
        of: its value for a task; NaN if the run did not record it.
        lowest: True if less is better.
        guessed: its value for a task if classes are guessed; NaN if the run did not record their number, None if that
            has no meaning.
    """

    name: str
    title: str
    legend: str
    of: Callable[[TaskScore], float]
    lowest: bool = False
    guessed: Callable[[TaskScore], float] | None = None

    def at(self, task: int) -> Callable[[Run], float]:
        """A function from a run to its value on a task, given by its index."""
        return lambda run: self.of(run.tasks[task])

    def mean(self, run: Run) -> float:
        """The unweighted mean over a run's tasks."""
        return fmean(map(self.of, run.tasks))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


ACCURACY = Measure(
    "accuracy",
    "accuracy",
    f"Accuracy in percent (C: mean over classes, otherwise overall); {SPREAD}",
    lambda task: task.accuracy,
    guessed=lambda task: chance(task.classes),
)
ERROR = "Expected calibration error in percent, 15 bins, {}; less is better, -: not recorded; " + SPREAD
MEASURES = {
    measure.name: measure
    for measure in (
        ACCURACY,
        Measure("ece", "ECE", ERROR.format("with temperatures"), lambda task: _or_nan(task.ece), lowest=True),
        Measure(
            "ece-uncalibrated",
            "ECE, not calibrated",
            ERROR.format("without temperatures"),
            lambda task: _or_nan(task.ece_uncalibrated),
            lowest=True,
        ),
    )
}
