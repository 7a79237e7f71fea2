"""Heads by name."""

from __future__ import annotations

from typing import Any

from dassl.utils import Registry, check_availability

HEAD_REGISTRY = Registry("HEAD")


def build_head(name: str, verbose: bool = True, **kwargs: Any) -> Any:
    """Build the head ``name``. ValueError with the nearest name if it is not registered."""
    check_availability(name, HEAD_REGISTRY.registered_names())
    if verbose:
        print(f"Head: {name}")
    return HEAD_REGISTRY.get(name)(**kwargs)
