"""Checkpoints, and small helpers for models."""

from __future__ import annotations

import contextlib
import os
import os.path as osp
import re
import shutil
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .checkpoint_reader import CheckpointError, Placeholder, read_file
from .tools import atomic_path, mkdir_if_missing, tolist_if_not

__all__ = [
    "save_checkpoint",
    "load_checkpoint",
    "resume_from_checkpoint",
    "open_all_layers",
    "open_specified_layers",
    "count_num_param",
    "load_pretrained_weights",
    "init_network_weights",
]


# What loading the state of another optimizer or schedule raises.
_MISFIT = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def _without_module(name: str) -> str:
    # nn.DataParallel adds this prefix to every parameter name.
    return name.removeprefix("module.")


def _plain(value: Any) -> Any:
    """Convert ``value`` to types that PyTorch's safe reader accepts: no NumPy numbers, no scheduler objects."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, LRScheduler):
        return _plain({key: item for key, item in value.__dict__.items() if key != "optimizer"})
    if isinstance(value, OrderedDict):
        return value  # a state dict: it holds tensors, and a copy would lose its metadata
    if isinstance(value, Counter):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


@contextlib.contextmanager
def _with_checksums() -> Iterator[None]:
    """Let torch.save write checksums, which the reader compares, even if a plugin has switched them off."""
    get, set_ = (getattr(torch.serialization, f"{verb}_crc32_options", None) for verb in ("get", "set"))
    if get is None or set_ is None or get():
        yield
        return
    set_(True)
    try:
        yield
    finally:
        set_(False)


def save_checkpoint(
    state: dict,
    save_dir: str,
    is_best: bool = False,
    remove_module_from_keys: bool = True,
    model_name: str = "",
) -> None:
    """Save ``state`` to ``save_dir`` and write the name of its file to the file ``checkpoint`` there.

    Both files are written atomically: a crash leaves the earlier ones.

    Args:
        state: must have "state_dict" and "epoch" (epochs done), and usually has "optimizer", "scheduler", "val_result".
        save_dir: created if missing.
        is_best: also copy the file to ``model-best.pth.tar``.
        remove_module_from_keys: remove the prefix "module." that nn.DataParallel adds to names.
        model_name: file name, by default ``model.pth.tar-<epoch>``.
    """
    mkdir_if_missing(save_dir)
    if remove_module_from_keys:
        state["state_dict"] = OrderedDict((_without_module(k), v) for k, v in state["state_dict"].items())
    fpath = osp.join(save_dir, model_name or f"model.pth.tar-{state['epoch']}")
    with atomic_path(fpath) as partial, _with_checksums():
        try:
            torch.save(_plain(state), partial)
        except RuntimeError:  # PyTorch's writer does not say why, such as a full disk; Python's does
            with open(partial, "ab") as file:
                file.write(bytes(1 << 20))
            raise
    print(f"Checkpoint saved to {fpath}")

    with atomic_path(osp.join(save_dir, "checkpoint")) as partial, open(partial, "w", encoding="utf-8") as pointer:
        pointer.write(f"{osp.basename(fpath)}\n")

    if is_best:
        best = osp.join(save_dir, "model-best.pth.tar")
        with atomic_path(best) as partial:
            shutil.copyfile(fpath, partial)
        print(f'Best checkpoint saved to "{best}"')


def load_checkpoint(fpath: str) -> Any:
    """Return the object in the checkpoint ``fpath``; nothing in the file is executed.

    Tensors are loaded to the device they were saved from, or to the CPU if there is no GPU. Objects other than tensors,
    numbers, strings and containers of them become inert placeholders.

    Raises:
        ValueError: ``fpath`` is None.
        FileNotFoundError: there is no such file.
        CheckpointError: the file is truncated or not a checkpoint; a ``RuntimeError`` with a one-line message.
    """
    if fpath is None:
        raise ValueError("No checkpoint is named: the path is None")
    if not osp.isfile(fpath):
        raise FileNotFoundError(f'File is not found at "{fpath}"')
    return read_file(fpath, None if torch.cuda.is_available() else "cpu")


def find_checkpoint(fdir: str) -> str | None:
    """Return the name of the checkpoint in ``fdir`` to resume from, None if there is none.

    The file ``checkpoint`` holds this name. If that file is missing, or the file that it names is, the result is the
    latest ``model.pth.tar-<epoch>``, otherwise ``model-best.pth.tar``.
    """
    name = ""
    if osp.isfile(osp.join(fdir, "checkpoint")):  # a named pipe would block
        with open(osp.join(fdir, "checkpoint"), encoding="utf-8", errors="replace") as pointer:
            name = pointer.readline(256).strip()
    if name and name == osp.basename(name) and "\0" not in name and osp.isfile(osp.join(fdir, name)):
        return name
    epochs = saved_epochs(fdir)
    if epochs:
        return f"model.pth.tar-{epochs[-1]}"
    return "model-best.pth.tar" if osp.isfile(osp.join(fdir, "model-best.pth.tar")) else None


def saved_epochs(fdir: str) -> list[int]:
    """Return the epochs, in ascending order, that have a ``model.pth.tar-<epoch>`` in ``fdir``."""
    names = os.listdir(fdir) if osp.isdir(fdir) else []
    found = (re.fullmatch(r"model\.pth\.tar-(\d+)", name) for name in names)
    return sorted(int(match.group(1)) for match in found if match)


def load_model_weights(model: nn.Module, state_dict: Mapping[str, torch.Tensor], fpath: str) -> None:
    """Run ``model.load_state_dict(state_dict)``; a one-line CheckpointError if the two do not match."""
    try:
        model.load_state_dict(state_dict)
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__)[:200]
        raise CheckpointError(
            f"Checkpoint {fpath} is not of this model ({reason}); use one that was saved with the same configuration"
        ) from error


def load_scheduler_state(scheduler: Any, state: Mapping[str, Any]) -> None:
    """Load ``state`` into ``scheduler``, and into the schedulers inside it.

    Upstream saves the scheduler that follows a warm-up as an object together with a copy of the optimizer, and steps
    that copy after resuming. Here the inner scheduler keeps its optimizer and only its position is restored.
    """
    state = dict(state)
    for name, inner in list(vars(scheduler).items()):
        if isinstance(inner, LRScheduler) and name in state:
            saved = state.pop(name)
            if isinstance(saved, (Placeholder, LRScheduler)):
                saved = {key: value for key, value in vars(saved).items() if key != "optimizer"}
            if isinstance(saved, Mapping):
                load_scheduler_state(inner, saved)
    scheduler.load_state_dict(state)


def resume_from_checkpoint(
    fdir: str,
    model: nn.Module,
    optimizer: Optimizer | None = None,
    scheduler: Any = None,
    model_name: str = "",
) -> int:
    """Load model, optimizer and scheduler (if given) from the folder ``fdir``; return the number of epochs done.

    Args:
        fdir: the ``save_dir`` of ``save_checkpoint``.
        model_name: a file in it, by default the result of ``find_checkpoint``.

    Raises:
        FileNotFoundError: there is no checkpoint in ``fdir``.
        CheckpointError: the checkpoint is damaged, or does not match.
    """
    name = model_name or find_checkpoint(fdir)
    if name is None:
        raise FileNotFoundError(f"No checkpoint in {fdir}: train first, or choose the folder of a finished run")
    fpath = osp.join(fdir, name)
    print(f'Loading checkpoint from "{fpath}"')
    checkpoint = load_checkpoint(fpath)
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint or "epoch" not in checkpoint:
        raise CheckpointError(f"Checkpoint {fpath} holds no training state (state_dict, epoch); use another one")
    load_model_weights(model, checkpoint["state_dict"], fpath)
    print("Loaded model weights")
    if optimizer is not None and checkpoint.get("optimizer") is not None:
        try:
            optimizer.load_state_dict(checkpoint["optimizer"])
        except _MISFIT as error:
            raise CheckpointError(
                f"Checkpoint {fpath} is of another optimizer ({error}); delete it or change OPTIM"
            ) from error
        print("Loaded optimizer")
    if scheduler is not None and checkpoint.get("scheduler") is not None:
        try:
            load_scheduler_state(scheduler, checkpoint["scheduler"])
        except _MISFIT as error:
            raise CheckpointError(
                f"Checkpoint {fpath} is of another schedule ({error}); delete it or change OPTIM"
            ) from error
        print("Loaded scheduler")
    start_epoch = checkpoint["epoch"]
    if isinstance(start_epoch, bool) or not isinstance(start_epoch, int) or start_epoch < 0:
        raise CheckpointError(f"Checkpoint {fpath} is of epoch {start_epoch!s:.40}; use another one")
    print(f"Previous epoch: {start_epoch}")
    return start_epoch


def adjust_learning_rate(
    optimizer: Optimizer,
    base_lr: float,
    epoch: int,
    stepsize: int = 20,
    gamma: float = 0.1,
    linear_decay: bool = False,
    final_lr: float = 0,
    max_epoch: int = 100,
) -> None:
    """Set all learning rates: multiplied by ``gamma`` every ``stepsize`` epochs, or decaying linearly to ``final_lr``.

    Kept for old plugins; new code uses ``dassl.optim.build_lr_scheduler``.
    """
    if linear_decay:
        done = epoch / max_epoch
        lr = done * final_lr + (1 - done) * base_lr
    else:
        lr = base_lr * gamma ** (epoch // stepsize)
    for group in optimizer.param_groups:
        group["lr"] = lr


def set_bn_to_eval(m: nn.Module) -> None:
    """Freeze the running statistics of ``m`` if it is a batch norm layer; for ``model.apply``."""
    if "BatchNorm" in type(m).__name__:
        m.eval()


def open_all_layers(model: nn.Module) -> None:
    """Put the whole model in training mode and enable its gradients."""
    model.train()
    model.requires_grad_(True)


def open_specified_layers(model: nn.Module, open_layers: str | list[str]) -> None:
    """Train the named children of ``model``; freeze all others and put them in evaluation mode.

    Raises:
        AttributeError: the model has no such child.
    """
    if isinstance(model, nn.DataParallel):
        model = model.module
    names = tolist_if_not(open_layers)
    for name in names:
        if not hasattr(model, name):
            children = ", ".join(child for child, _ in model.named_children())
            raise AttributeError(f'The model has no layer "{name}"; its layers: {children}')
    for name, module in model.named_children():
        opened = name in names
        module.train(opened)
        module.requires_grad_(opened)


def count_num_param(model: nn.Module | None = None, params: Iterable | None = None) -> int:
    """Count the parameters of a model, or of an iterable of tensors or ``{"params": tensor}``.

    Raises:
        ValueError: neither is given.
    """
    if model is not None:
        return sum(p.numel() for p in model.parameters())
    if params is None:
        raise ValueError("count_num_param() needs a model or its params")
    total = 0
    for item in params:
        tensors = item["params"] if isinstance(item, dict) else item
        tensors = [tensors] if isinstance(tensors, torch.Tensor) else tensors
        total += sum(p.numel() for p in tensors)
    return total


def load_pretrained_weights(model: nn.Module, weight_path: str) -> None:
    """Load every tensor of a checkpoint (or bare state dict) whose name and shape match one in the model.

    A leading "module." is ignored. Prints the names of tensors that were not loaded; warns if nothing matches.
    """
    checkpoint = load_checkpoint(weight_path)
    state_dict = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(state_dict, Mapping):
        raise CheckpointError(f"Checkpoint {weight_path} holds no state dict; use another one")
    wanted = model.state_dict()
    matched: OrderedDict[str, torch.Tensor] = OrderedDict()
    discarded: list[str] = []
    for key, value in state_dict.items():
        name = _without_module(key)
        if name in wanted and isinstance(value, torch.Tensor) and wanted[name].size() == value.size():
            matched[name] = value
        else:
            discarded.append(name)
    wanted.update(matched)
    model.load_state_dict(wanted)
    if not matched:
        warnings.warn(f"Nothing in {weight_path} matches the model (compare the names of the parameters)", stacklevel=2)
        return
    print(f"Successfully loaded pretrained weights from {weight_path}")
    if discarded:
        print(f"Layers discarded due to unmatched keys or size: {discarded}")


def init_network_weights(model: nn.Module, init_type: str = "normal", gain: float = 0.02) -> None:
    """Initialise convolutions and linear layers by ``init_type`` (biases 0), batch and instance norms as identities.

    Args:
        init_type: normal (std ``gain``), xavier, kaiming (fan in), orthogonal.
        gain: ignored by kaiming.
    """
    fillers = {
        "normal": lambda w: nn.init.normal_(w, 0.0, gain),
        "xavier": lambda w: nn.init.xavier_normal_(w, gain=gain),
        "kaiming": lambda w: nn.init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=gain),
    }
    if init_type not in fillers:
        raise NotImplementedError(f'Initialisation "{init_type}" is unknown; choose one of {", ".join(fillers)}')

    def fill(module: nn.Module) -> None:
        kind = type(module).__name__
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if weight is None:
            return
        if "Conv" in kind or "Linear" in kind:
            fillers[init_type](weight.data)
        elif "BatchNorm" in kind or "InstanceNorm" in kind:
            nn.init.ones_(weight.data)
        else:
            return
        if bias is not None:
            nn.init.zeros_(bias.data)

    model.apply(fill)
