"""Copies between host and device that do not wait for the device.

A GPU works through a queue. A plain copy to it, like reading a value from it, lets the host wait until the queue is
empty, so the GPU idles while the next operations are queued.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a host's tensor to a device without waiting: to a GPU through pinned memory, which it copies from itself."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def upload(values: Tensor | Sequence[int], device: torch.device | str) -> Tensor:
    """Copy (n,) int64 values to a device; `on_host` then knows them without reading it. Do not change them in place."""
    here = values if isinstance(values, Tensor) else torch.tensor(list(values), dtype=torch.long)
    there = sent(here, device)
    if there is not here:
        there.values_on_host = here.tolist()  # type: ignore[attr-defined]  # tensors take attributes
    return there


def on_host(tensor: Tensor) -> list[int]:
    """Return the integers of a tensor, read from the device only if it is not from `upload`."""
    known = getattr(tensor, "values_on_host", None)
    return tensor.tolist() if known is None else known


def read_one_late(results: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield tensors on the host, each when the next one is queued, so that a GPU has work while the host reads."""
    waiting: tuple[Tensor, torch.cuda.Event] | None = None
    for result in results:
        if result.device.type != "cuda":
            yield result.cpu()
            continue
        copied = result.to("cpu", non_blocking=True), torch.cuda.Event()
        copied[1].record()
        if waiting is not None:
            waiting[1].synchronize()
            yield waiting[0]
        waiting = copied
    if waiting is not None:
        waiting[1].synchronize()
        yield waiting[0]
