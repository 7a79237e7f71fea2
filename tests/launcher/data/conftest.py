"""Miniature sources and their server."""

from tests.support.sources import making, server

__all__ = ["making", "server"]
