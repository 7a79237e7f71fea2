"""Name -> class or function, filled by decorators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Registry"]


class Registry:
    """Objects found by their ``__name__``.

    ``@REGISTRY.register()`` above a class or function, or ``REGISTRY.register(obj)``. A name can be taken once,
    unless ``force=True`` says to replace it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._obj_map: dict[str, Any] = {}

    def _add(self, obj: Any, force: bool) -> None:
        name = obj.__name__
        if name in self._obj_map and not force:
            raise KeyError(
                f'"{name}" is already in the {self._name} registry; register it with force=True to replace it'
            )
        self._obj_map[name] = obj

    def register(self, obj: Any = None, force: bool = False) -> Callable[[Any], Any] | None:
        """Enter ``obj``, or return a decorator that enters what it decorates. KeyError when the name is taken."""
        if obj is not None:
            self._add(obj, force)
            return None

        def decorator(decorated: Any) -> Any:
            self._add(decorated, force)
            return decorated

        return decorator

    def get(self, name: str) -> Any:
        """What is registered as ``name``; KeyError when nothing is."""
        if name not in self._obj_map:
            raise KeyError(
                f'"{name}" is not in the {self._name} registry; it has: {", ".join(self._obj_map) or "nothing"}'
            )
        return self._obj_map[name]

    def registered_names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._obj_map)
