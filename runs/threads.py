"""The number of PyTorch's threads in a run on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from yacs.config import CfgNode

from common import threads


@contextlib.contextmanager
def threads_for(cfg: CfgNode) -> Iterator[None]:
    """Compute with as many threads as processors are free, at most as many as before, until the context ends.

    The user's OMP_NUM_THREADS or MKL_NUM_THREADS decide instead. A run on a GPU keeps PyTorch's number.
    """
    before = torch.get_num_threads()
    if torch.cuda.is_available() and cfg.USE_CUDA:
        yield
        return
    if own := threads.given():
        print(f"Threads: {before} ({own})")
        yield
        return
    number, reason = threads.choose(before)
    print(f"Threads: {number} ({reason})")
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
