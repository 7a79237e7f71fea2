"""How much of a step's text side fits in memory at once.

Training keeps every activation of the text tower until the backward pass: 1.5 GiB for 1,191 classes with RN50's tower,
some 25 GiB for the 21,841 classes of ImageNet-21k, and ten times as much for a tower that shares no beginnings of
prompts. `prompting.text_encoder.pack_for` asks here how many tokens fit, and splits longer lists of prompts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

SMALL = 1024  # tokens that always fit: at most 1.5 GiB in towers of 24 blocks, 1,024 wide
# What a step needs beside the activations that the measurement sees: those in use, gradients, the allocator's slack,
# and CLIP-LoRA's own, up to 0.4 in bfloat16.
OVERHEAD = 1.6
SHARE = 0.5  # of what is free; image features, the optimiser and other processes need memory too
UNBOUNDED = 1 << 62
CONTROL_GROUPS = (  # of Linux, versions 2 and 1: folder, files with the limit and the use in bytes, cached files
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass
class TextMemory:
    """The memory that the text side of a step may take.

    limit: bytes; 0: a share of what is free when it is first asked for.
    """

    limit: int = 0
    _tokens: int | None = None
    _reported = False

    def tokens(self, device: torch.device, measure: Callable[[], float]) -> int:
        """Return the number of tokens that may be encoded at once, at least SMALL.

        ``measure`` returns the bytes that autograd keeps for each token; it is called once.
        """
        if self._tokens is None:
            limit = self.limit or SHARE * free_bytes(device)
            self._tokens = max(SMALL, int(limit / (OVERHEAD * measure())))
        return self._tokens

    def report(self, tokens: int, parts: int) -> None:
        """Print, once, that prompts are encoded in parts."""
        if not self._reported:
            print(
                f"Text: the activations of {tokens:,} tokens do not fit in memory at once, so prompts are encoded in "
                f"{parts} parts, and again in the backward pass (MODEL.TEXT_MEMORY_GB)"
            )
        self._reported = True


def saved_bytes(work: Callable[[], object], frozen: nn.Module) -> int:
    """Return the bytes that autograd keeps for the backward pass of ``work``, without the weights of ``frozen``."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in frozen.state_dict().values()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = work()  # kept until the sizes are added up, so that no address is used twice
        total = sum(sizes.values())
    del result
    return total


def free_bytes(device: torch.device) -> int:
    """Return the bytes that a process can still use on a device.

    On Linux it respects the limits of control groups (containers); where the system does not say, it is half the
    machine's memory.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    found = [free for group in CONTROL_GROUPS if (free := _left(*group)) is not None]
    found += [kib << 10 for kib in _entries("/proc/meminfo", "MemAvailable:")]
    if not found and hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(found, default=UNBOUNDED)


def _left(folder: str, limit: str, used: str, cached: str) -> int | None:
    """Return what a control group leaves, in bytes; None if there is no such group, or no limit ("max")."""
    try:
        most, now = (int(_lines(f"{folder}/{name}")[0]) for name in (limit, used))
    except (IndexError, ValueError):
        return None
    return max(0, most - now + sum(_entries(f"{folder}/memory.stat", cached)))


def _entries(path: str, name: str) -> list[int]:
    """Return the numbers in the lines that start with ``name``."""
    return [int(words[1]) for line in _lines(path) if (words := line.split())[:1] == [name]]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
