"""Figures that describe the behaviour of Dassl; the cases use names that upstream 0.6.3 and this distribution share.

``upstream_behaviour.json`` has upstream's figures. To create it again, install upstream's ``dassl`` with a PyTorch that
it supports (2.1), scikit-learn, and stubs for the packages that its own data sets import, then run:

    python -m tests.toolbox.side_by_side > tests/toolbox/upstream_behaviour.json
"""

from . import data, data_sets, models, training  # noqa: F401 (importing them registers their cases)
from .common import CASES, register

__all__ = ["CASES", "register"]
