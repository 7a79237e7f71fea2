"""The interface for following a run's progress."""

from __future__ import annotations


class Watch:
    """Receives a run's progress. This class ignores it; subclasses show it."""

    def encoding(self, done: int, total: int) -> None:
        """``done`` of ``total`` images, or views of images, are encoded."""

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        """A value was written to TensorBoard."""

    def epoch(self, done: int, total: int, loss: float) -> None:
        """``done`` of ``total`` epochs are trained; ``loss`` is the last batch's."""

    def fold(self, done: int, total: int) -> None:
        """``done`` of ``total`` trainings without some of the tasks are over, see `trainers.engine.new_tasks`."""
