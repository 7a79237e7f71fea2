"""What Dassl does, as figures: the cases use names that upstream 0.6.3 and this distribution share.

``upstream_behaviour.json`` holds what upstream gives. To make it anew, where ``dassl`` is upstream's, on a PyTorch
that it runs on (2.1, with scikit-learn, and stand-ins for what its own data sets import):

    python -m tests.toolbox.side_by_side > tests/toolbox/upstream_behaviour.json
"""

from . import data, models, training  # noqa: F401 (they enter their cases)
from .common import CASES, register

__all__ = ["CASES", "register"]
