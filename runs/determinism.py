"""PyTorch's settings for a run on a GPU: the fastest algorithms, or those that give the same bits each time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from yacs.config import CfgNode

WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used


@contextlib.contextmanager
def algorithms(cfg: CfgNode) -> Iterator[None]:
    """Choose algorithms as TRAIN.DETERMINISTIC says, until the context ends.

    An operation that has no deterministic algorithm then raises RuntimeError, which names it.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    try:
        if cfg.TRAIN.DETERMINISTIC:
            os.environ.setdefault(*WORKSPACE)
            torch.use_deterministic_algorithms(True)
            cudnn.benchmark, cudnn.deterministic = False, True
        elif torch.cuda.is_available() and cfg.USE_CUDA:
            cudnn.benchmark = True
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before[:2]
        torch.use_deterministic_algorithms(before[2])
