"""Reads checkpoint files without running code from them.

PyTorch's own safe reader accepts tensors and plain containers. Files written by upstream Dassl or by plugins also hold
NumPy numbers and whole scheduler objects. A second reader handles those: it accepts the same harmless types and puts an
inert ``Placeholder`` in place of any other class. Neither reader imports or calls anything that the file names.
"""

from __future__ import annotations

import builtins
import codecs
import collections
import importlib
import pickle
import types
import zipfile
from typing import Any

import numpy as np
import torch


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message is one line that names the file."""


class Placeholder:
    """Stands for an object of a class that is not loaded; its attributes are in ``__dict__``."""

    def __new__(cls, *args: object, **kwargs: object) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2:  # (dict, slots)
            state = {**(state[0] or {}), **(state[1] or {})}
        if isinstance(state, dict):
            self.__dict__.update({str(key): value for key, value in state.items()})

    # Pickles of classes derived from list or dict call these with their items.
    def append(self, item: object) -> None:
        """Ignore a list item."""

    def extend(self, items: object) -> None:
        """Ignore list items."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


_BUILTINS = {
    "set",
    "frozenset",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "complex",
    "bool",
    "str",
    "bytes",
    "slice",
    "range",
}
_TORCH_UTILS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state"}
_NUMPY_CORE = {"numpy.core.multiarray": "multiarray", "numpy._core.multiarray": "multiarray"}


def _numpy_core() -> Any:
    try:
        return importlib.import_module("numpy._core.multiarray")
    except ImportError:  # NumPy 1
        return importlib.import_module("numpy.core.multiarray")


def _known(module: str, name: str) -> Any:
    """Return ``module.name`` if it is a harmless type or function, otherwise None."""
    if module in ("builtins", "__builtin__") and name in _BUILTINS:
        return getattr(builtins, name)
    if module == "collections" and name in ("OrderedDict", "Counter", "defaultdict", "deque"):
        return getattr(collections, name)
    if module == "torch._utils" and name in _TORCH_UTILS:
        return getattr(torch._utils, name, None)
    if module == "torch" and name in ("Size", "device", "Tensor"):
        return getattr(torch, name)
    if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
        return getattr(torch, name)
    if module.startswith("torch") and name.endswith("Storage"):
        return getattr(torch, name, None)
    if module == "torch.nn.parameter" and name == "Parameter":
        return torch.nn.Parameter
    if module in _NUMPY_CORE and name in ("scalar", "_reconstruct"):
        return getattr(_numpy_core(), name)
    if module == "numpy" and name in ("dtype", "ndarray"):
        return getattr(np, name)
    if module.startswith("numpy.dtypes"):
        return getattr(np.dtypes, name, None) if hasattr(np, "dtypes") else None
    if module == "_codecs" and name == "encode":  # how NumPy bytes are pickled
        return codecs.encode
    return None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _known(module, name)
        if known is not None:
            return known
        # A separate class for each name, so that the repr shows what was left out.
        return type(name.rpartition(".")[2], (Placeholder,), {"__module__": module})


def _load(file: Any, **kwargs: Any) -> Any:
    return _Unpickler(file, **kwargs).load()


# torch.load expects these attributes of a pickle module.
_restricted = types.SimpleNamespace(__name__="dassl.utils.checkpoint_reader", Unpickler=_Unpickler, load=_load)


def read_file(fpath: str, map_location: Any = None) -> Any:
    """Return the object in the file ``fpath``; CheckpointError if it is damaged or not a checkpoint."""
    _compare_checksums(fpath)
    try:
        return torch.load(fpath, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        pass  # refused: it holds more than tensors and plain containers
    except PermissionError:
        raise
    except Exception as error:
        raise _unreadable(fpath, error) from error
    try:
        return torch.load(fpath, map_location=map_location, weights_only=False, pickle_module=_restricted)
    except UnicodeDecodeError:  # written by Python 2
        return _read_python2(fpath, map_location)
    except Exception as error:
        raise _unreadable(fpath, error) from error


def _compare_checksums(fpath: str) -> None:
    """Raise a CheckpointError if a part of the file does not have its checksum, which PyTorch itself ignores."""
    try:
        with open(fpath, "rb") as file:
            if file.read(4) != b"PK\x03\x04":  # written before PyTorch 1.6: a row of pickles without checksums
                return
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
    except PermissionError:
        raise
    except Exception as error:
        raise _unreadable(fpath, error) from error
    if damaged is not None:
        raise _unreadable(
            fpath, ValueError(f"the checksum of its part {damaged} differs, or PyTorch saved it without checksums")
        )


def _read_python2(fpath: str, map_location: Any) -> Any:
    try:
        return torch.load(
            fpath, map_location=map_location, weights_only=False, pickle_module=_restricted, encoding="latin1"
        )
    except Exception as error:
        raise _unreadable(fpath, error) from error


def _unreadable(fpath: str, error: Exception) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].strip()[:160]
    return CheckpointError(
        f"Checkpoint {fpath} cannot be read: it is truncated, or not a PyTorch checkpoint ({reason}); "
        "delete it or use another one"
    )
