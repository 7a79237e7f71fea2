"""PyTorch's settings for a run on a GPU: the fastest algorithms, or those that give the same bits each time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from yacs.config import CfgNode

from common.errors import InputError

WORKSPACE, WORKSPACES = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")  # cuBLAS reads it when it is first used


@contextlib.contextmanager
def algorithms(cfg: CfgNode) -> Iterator[None]:
    """Choose algorithms as TRAIN.DETERMINISTIC says, until the context ends.

    An operation that has no deterministic algorithm then raises RuntimeError, which names it.

    Raises:
        InputError: cuBLAS is set up in a way that is not deterministic.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        if cfg.TRAIN.DETERMINISTIC:
            if os.environ.setdefault(WORKSPACE, WORKSPACES[0]) not in WORKSPACES:
                raise InputError(
                    f"TRAIN.DETERMINISTIC needs {WORKSPACE} {' or '.join(WORKSPACES)}, and the environment has "
                    f"{os.environ[WORKSPACE]}; unset it."
                )
            torch.use_deterministic_algorithms(True)
            cudnn.benchmark, cudnn.deterministic = False, True
        elif torch.cuda.is_available() and cfg.USE_CUDA:
            cudnn.benchmark = True
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
