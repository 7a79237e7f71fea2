"""Fixtures of run folders."""

from tests.support.runs import make_full_run, make_run

__all__ = ["make_full_run", "make_run"]
