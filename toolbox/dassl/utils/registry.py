"""Name -> class or function, filled by decorators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

__all__ = ["Registry"]

T = TypeVar("T")


class Registry:
    """Objects found by their ``__name__``.

    Use ``@REGISTRY.register()`` above a class or function, or call ``REGISTRY.register(obj)``. A name can be registered
    only once, unless ``force=True`` replaces it.
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

    @overload
    def register(self, obj: None = None, force: bool = False) -> Callable[[T], T]: ...

    @overload
    def register(self, obj: object, force: bool = False) -> None: ...

    def register(self, obj: object = None, force: bool = False) -> Callable[[T], T] | None:
        """Register ``obj``, or return a decorator that registers what it decorates. KeyError if the name is taken."""
        if obj is not None:
            self._add(obj, force)
            return None

        def decorator(decorated: T) -> T:
            self._add(decorated, force)
            return decorated

        return decorator

    def get(self, name: str) -> Any:
        """Return the object registered as ``name``; KeyError if there is none."""
        if name not in self._obj_map:
            raise KeyError(
                f'"{name}" is not in the {self._name} registry; it has: {", ".join(self._obj_map) or "nothing"}'
            )
        return self._obj_map[name]

    def registered_names(self) -> list[str]:
        """Return all names, in the order of registration."""
        return list(self._obj_map)
