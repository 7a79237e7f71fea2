"""Fixtures of short runs."""

from tests.support.training import workplace

__all__ = ["workplace"]
