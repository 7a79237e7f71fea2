"""The clone that shell scripts run in."""

from tests.support.launching import clone

__all__ = ["clone"]
