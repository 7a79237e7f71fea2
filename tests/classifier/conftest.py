"""Fixtures of finished runs."""

from tests.support.finished import finished, place
from tests.support.training import resnet

__all__ = ["finished", "place", "resnet"]
