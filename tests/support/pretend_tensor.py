"""Tensors of the pretend device: which operations a GPU would refuse, and which would make the host wait.

See tests.support.pretend_device for what is simulated.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from common.paths import REPOSITORY

DEVICE = torch.device("cuda", 0)
HOST = torch.device("cpu")
PRETENDERS = ("pretend_tensor.py", "pretend_device.py")  # files that are not the cause of a trip
aten = torch.ops.aten

# Operators that read from the device to learn the size of their result, or return it to the host.
_READS = {
    aten._local_scalar_dense: "item",
    aten.equal: "equal",
    aten.allclose: "allclose",
    aten.nonzero: "nonzero",
    aten.masked_select: "masked_select",
    aten._unique: "unique",
    aten._unique2: "unique",
    aten.unique_dim: "unique",
    aten.unique_consecutive: "unique",
    aten.unique_dim_consecutive: "unique",
    aten.bincount: "bincount",
    aten._linalg_check_errors: "linalg",
}
_INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index)
# Operators that accept a CPU tensor without dimensions beside tensors of the device, besides pointwise ones.
_TAKE_SCALARS = (aten.masked_fill, aten.masked_fill_, aten.fill_, aten.fill, aten.where, *_INDEXING)


class Trip(NamedTuple):
    """One reason for the host to wait."""

    kind: str  # sync or upload
    what: str  # the operation
    place: str  # the innermost line of the repository, path:number

    def __str__(self) -> str:
        return f"{self.place}: {self.kind} ({self.what})"


class DeviceMistake(RuntimeError):
    """An operation on tensors of both devices. A GPU raises a RuntimeError too."""


class OnDevice(Tensor):
    """A tensor of the pretend device."""

    held: Tensor  # the values, on the CPU; shared by views
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # declared as a method

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        assert not isinstance(held, OnDevice)
        tensor = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=HOST,
        )
        tensor.held = held.detach()
        return tensor

    # C++ believes that the tensor is on the CPU, so autograd needs no CUDA; Python sees the pretend device.
    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, OnDevice):
            raise DeviceMistake("A tensor of the device is given data of the CPU.")
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]  # a descriptor of C
        self.held = value.held

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch declares a static method
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = list(_tensors((args, kwargs)))
        _check(func, args, kwargs, tensors)
        owner = {id(held_of(tensor)): tensor for tensor in tensors}

        def outer(x: Any) -> Any:  # an operator in place returns what it changed
            return owner[id(x)] if id(x) in owner else OnDevice(x)

        return mapped(outer, func(*mapped(held_of, args), **mapped(held_of, kwargs)))

    # -- what C++ would do without asking --

    def tolist(self) -> Any:
        count("sync", "tolist")
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first.")
        return self.cpu().numpy()

    def __array__(self, dtype: Any = None, *more: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]  # Tensor's argument does not matter
        return f"OnDevice({self.held!r})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 else repr(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copied = OnDevice(self.held.clone()).requires_grad_(self.requires_grad)
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if is_parameter else copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved as a tensor of the CPU."""
        return self.cpu().detach().requires_grad_(self.requires_grad and self.is_leaf).__reduce_ex__(protocol)


def held_of(tensor: Tensor) -> Tensor:
    """Return the values of a tensor of either device, on the CPU."""
    return tensor.held if isinstance(tensor, OnDevice) else tensor


def _tensors(x: Any) -> Iterator[Tensor]:
    """Yield the tensors in an operator's arguments."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, list | tuple | dict):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _tensors(part)


def mapped(change: Callable[[Tensor], Any], x: Any) -> Any:
    """Apply a function to the tensors in an operator's arguments or results."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, dict):
        return {key: mapped(change, part) for key, part in x.items()}
    return type(x)([mapped(change, part) for part in x]) if type(x) in (list, tuple) else x


def _check(func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
    """Count the operator's trips; raise DeviceMistake if it would not run on a GPU."""
    packet = func.overloadpacket
    host = [tensor for tensor in tensors if not isinstance(tensor, OnDevice) and not _is_either(tensor)]
    if packet in _READS:
        count("sync", _READS[packet])
    elif packet is aten.repeat_interleave and kwargs.get("output_size") is None:
        count("sync", "repeat_interleave without output_size")
    elif packet is aten.copy_:
        if host and not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False)):
            count("sync" if host[0] is args[0] else "upload", "copy_")
        return
    elif packet in _INDEXING:
        host = _check_indexing(packet, args, host)
    wrong = [tensor for tensor in host if not (tensor.dim() == 0 and _takes_scalars(func, tensor, args))]
    if wrong:
        shapes = ", ".join(f"{tuple(t.shape)} on {t.device}" for t in tensors)
        raise DeviceMistake(f"{func} needs its tensors on one device, but has {shapes} (at {_place()}).")


def _check_indexing(packet: Any, args: Any, host: list[Tensor]) -> list[Tensor]:
    """Count the trips of indexing; return the tensors of the CPU that are not indices."""
    table, indices = args[0], [index for index in args[1] if index is not None]
    if not isinstance(table, OnDevice):
        return host
    fills = packet not in (aten.index, aten._unsafe_index) and args[2].numel() == 1 and args[2] in _Same(host)
    for index in indices:
        if not isinstance(index, OnDevice):
            count("upload", "index of the CPU")
        elif index.dtype in (torch.bool, torch.uint8) and not (fills and len(indices) == 1):  # else: masked_fill_
            count("sync", "mask as index")
    return [tensor for tensor in host if tensor not in _Same(indices)]


class Internals(TorchDispatchMode):
    """Marks tensors that PyTorch's C++ creates within its own functions, such as zeros in the gradient of `stack`.

    C++ believes that all tensors are on the CPU, so it creates them there for operands of either device.
    """

    explicit = 0  # nesting of Python's functions that create tensors

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # newer PyTorch would import its compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not self.explicit and all(map(_is_either, _tensors((args, kwargs)))):
            for tensor in _tensors(made):
                tensor._either = True  # type: ignore[attr-defined]  # tensors take attributes
        return made


def _is_either(tensor: Tensor) -> bool:
    return getattr(tensor, "_either", False)


class _Same:
    """Contains the very same objects, since ``==`` of tensors compares their values."""

    def __init__(self, objects: Iterable[Any]):
        self.ids = {id(x) for x in objects}

    def __contains__(self, x: Any) -> bool:
        return id(x) in self.ids


def _takes_scalars(func: Any, scalar: Tensor, args: Any) -> bool:
    """Return whether an operator accepts this CPU tensor without dimensions."""
    changed = func._schema.is_mutable and args and args[0] is scalar
    name = func.overloadpacket
    return not changed and (torch.Tag.pointwise in func.tags or name in _TAKE_SCALARS or "_foreach" in str(name))


# -- counting ----------------------------------------------------------------------------------------------------------

counters: list[Counter[Trip]] = []  # of the open contexts


def count(kind: str, what: str) -> None:
    """Count a trip in all open contexts."""
    for trips in counters:
        trips[Trip(kind, what, _place())] += 1


def _place() -> str:
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = _in_repository(frame.f_code.co_filename)
        if name:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside the repository"


@cache
def _in_repository(file: str) -> str:
    """Return a file's path in the repository; empty for others and for PRETENDERS."""
    path = Path(file)
    inside = path.is_relative_to(REPOSITORY) and "site-packages" not in path.parts and path.name not in PRETENDERS
    return str(path.relative_to(REPOSITORY)) if inside else ""
