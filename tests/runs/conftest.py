"""Fixtures of short runs, and of run folders."""

from tests.support.runs import make_run
from tests.support.training import workplace

__all__ = ["make_run", "workplace"]
