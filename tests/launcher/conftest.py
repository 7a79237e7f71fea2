"""Fixtures of command lines, and of runs that they use."""

from tests.support.finished import finished, place
from tests.support.launching import clone, launch, restored_methods
from tests.support.runs import make_run

__all__ = ["clone", "finished", "launch", "make_run", "place", "restored_methods"]
