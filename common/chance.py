"""What guessing gives: the figure that every table of accuracies starts with."""

from __future__ import annotations

import math


def chance(classes: int | None) -> float:
    """The accuracy of guessing among some classes, in percent, overall and as the classes' mean; NaN if not known.

    >>> chance(8)
    12.5
    """
    return 100 / classes if classes else math.nan
