"""Fixtures of command lines."""

from tests.support.launching import clone, launch, restored_methods
from tests.support.runs import make_run

__all__ = ["clone", "launch", "make_run", "restored_methods"]
