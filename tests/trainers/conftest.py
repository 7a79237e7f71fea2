"""Fixtures of short runs."""

from tests.support.training import resnet, workplace

__all__ = ["resnet", "workplace"]
