"""A pretend device: it finds device mistakes and counts what a GPU would make the host wait for, without a GPU.

`PretendDevice` is a context in which the device ``cuda`` exists. A tensor on it reports this device, but its values are
on the CPU, which also computes with them. As on a GPU, an operation on tensors of both devices raises an error. Two
kinds of trips are counted, each with the line of the repository that causes it:

* a sync: the host reads a value from the device, so it waits until everything before it is computed;
* an upload: a copy from the host without ``non_blocking``, for which PyTorch waits for the device as well.

Streams, the device's random generator, float16 speed and syncs within CUDA's own kernels are not simulated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.pretend_tensor import (
    DEVICE,
    HOST,
    DeviceMistake,
    Internals,
    OnDevice,
    Trip,
    count,
    counters,
    held_of,
    mapped,
)

__all__ = ["DEVICE", "DeviceMistake", "OnDevice", "PretendDevice", "Trip", "held_of"]

# Functions and methods that create tensors; _COPYING and new_tensor copy values from the host.
_FACTORIES = (
    "zeros ones empty full eye arange range linspace logspace rand randn randint randperm scalar_tensor normal "
    "tril_indices triu_indices empty_strided "
    "zeros_like ones_like empty_like full_like rand_like randn_like randint_like"
).split()
_COPYING = ("tensor", "as_tensor", "asarray")
_METHODS = ("new_zeros", "new_ones", "new_empty", "new_full", "new_tensor")


class PretendDevice:
    """A context with the pretend device. ``trips`` counts what makes the host wait."""

    def __init__(self) -> None:
        self.trips: Counter[Trip] = Counter()

    def count(self, kind: str) -> int:
        """Return the trips of a kind so far."""
        return sum(number for trip, number in self.trips.items() if trip.kind == kind)

    def __enter__(self) -> PretendDevice:
        self._patch, self._internals = pytest.MonkeyPatch(), Internals()
        _patch_functions(self._patch, self._internals)
        self._overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        # A parameter of the CPU cannot become one of the device in place.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        counters.append(self.trips)
        self._internals.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._internals.__exit__(None, None, None)
        counters.pop()
        torch.__future__.set_overwrite_module_params_on_conversion(self._overwrites)
        self._patch.undo()


# -- functions that take a device --------------------------------------------------------------------------------------


def on_device(place: Any) -> bool:
    """Return whether a device, or its name, is the pretend one."""
    return torch.device(place).type == DEVICE.type


class _Transfer(torch.autograd.Function):
    """A copy to the other device; gradients take the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.held.clone() if isinstance(x, OnDevice) else OnDevice(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        count("sync" if isinstance(gradient, OnDevice) else "upload", "gradient of a copy")
        return gradient.held.clone() if isinstance(gradient, OnDevice) else OnDevice(gradient.clone())


def _moved(x: Tensor, device: Any, non_blocking: bool, what: str) -> Tensor:
    """The tensor on a device; itself if it is there."""
    if isinstance(x, OnDevice) == on_device(device):
        return x
    if not non_blocking:
        count("sync" if isinstance(x, OnDevice) else "upload", what)
    return _Transfer.apply(x)


def _patch_functions(patch: pytest.MonkeyPatch, internals: Internals) -> None:
    for name in (*_FACTORIES, *_COPYING):
        if hasattr(torch, name):
            patch.setattr(torch, name, _factory(getattr(torch, name), name if name in _COPYING else "", internals))
    plain_to: Any = Tensor.to

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        first = args[0] if args else None
        if isinstance(first, Tensor) or "other" in kwargs:
            other = kwargs.pop("other", first)
            args, kwargs = args[1:], {"device": other.device, "dtype": other.dtype, **kwargs}
        elif first is None or isinstance(first, str | int | torch.device):
            kwargs = {"device": kwargs.get("device", first), **kwargs}
            args = args[1:]
            if args and (args[0] is None or isinstance(args[0], torch.dtype)):
                kwargs["dtype"], args = args[0], args[1:]
        else:
            kwargs["dtype"], args = first, args[1:]
        kwargs |= dict(zip(("non_blocking", "copy"), args, strict=False))
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        non_blocking = kwargs.pop("non_blocking", False)
        if device is not None:
            moved = _moved(self, device, non_blocking, "to")
            kwargs["copy"] = kwargs.get("copy", False) and moved is self
            self = moved
        return plain_to(self, dtype or self.dtype, **kwargs)

    def cpu(self: Tensor, **kwargs: Any) -> Tensor:
        return self.to(HOST, **kwargs)

    def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> Tensor:
        return self.to(DEVICE, non_blocking=non_blocking, **kwargs)

    def pin_memory(self: Tensor, device: Any = None) -> Tensor:
        if isinstance(self, OnDevice):
            raise DeviceMistake("Only tensors of the CPU can be pinned.")
        pinned = self.clone()
        pinned._pinned = True  # type: ignore[attr-defined]  # tensors take attributes
        return pinned

    own: dict[str, Callable[..., Any]] = {"to": to, "cpu": cpu, "cuda": cuda, "pin_memory": pin_memory}
    own["is_pinned"] = lambda self, device=None: getattr(self, "_pinned", False)
    for name in _METHODS:
        own[name] = _factory(getattr(Tensor, name), name if name == "new_tensor" else "", internals)
    for name, function in own.items():
        patch.setattr(Tensor, name, function)
    patch.setattr(torch.cuda, "synchronize", lambda device=None: count("sync", "synchronize"))
    patch.setattr(torch.cuda, "Event", _Event)


class _Event:
    """Stands for torch.cuda.Event."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def record(self, stream: Any = None) -> None: ...

    def query(self) -> bool:
        return True

    def wait(self, stream: Any = None) -> None: ...

    def synchronize(self) -> None:
        count("sync", "event")


def _factory(function: Callable[..., Tensor], copying: str, internals: Internals) -> Callable[..., Tensor]:
    """A function that creates tensors, on the pretend device too. ``copying`` names one that copies from the host."""

    def plain(*args: Any, **kwargs: Any) -> Tensor:
        internals.explicit += 1
        try:
            return function(*args, **kwargs)
        finally:
            internals.explicit -= 1

    def create(*args: Any, **kwargs: Any) -> Tensor:
        given = kwargs.pop("device", None)
        if copying == "new_tensor":
            given = args[0].device if given is None else given
            args = (getattr(args[0], "held", args[0]), *args[1:])
        if given is None:
            return plain(*args, **kwargs)
        if copying and isinstance(args[0], OnDevice):
            return args[0].to(given, kwargs.get("dtype"), copy=copying == "tensor")
        here = on_device(given)
        needs_gradient = kwargs.pop("requires_grad", False)
        if not copying:
            args = mapped(held_of, args)
        elif here:
            count("upload", copying)
        made = plain(*args, **kwargs)
        return (OnDevice(made) if here else made).requires_grad_(needs_gradient)

    return create
