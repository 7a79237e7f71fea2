"""Who follows a run while it goes."""

from __future__ import annotations


class Watch:
    """Is told how far a run is. This one ignores it."""

    def encoding(self, done: int, total: int) -> None:
        """``done`` of ``total`` images (or views of them) have their features."""

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        """A value that also goes to TensorBoard."""

    def epoch(self, done: int, total: int, loss: float) -> None:
        """``done`` of ``total`` epochs are trained; ``loss`` is the last batch's."""
