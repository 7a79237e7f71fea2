"""Losses over the flat class axis of a task collection."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def unit(features: Tensor) -> Tensor:
    """Features of unit norm along the last axis, in float32 at least whatever the tower computes in."""
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return features / features.norm(dim=-1, keepdim=True)


def within_task(logits: Tensor, task: Tensor, task_of_class: Tensor) -> Tensor:
    """Rule out every class that is not of the sample's own task.

    Args:
        logits: (batch, classes) float, over the flat class axis.
        task: (batch,) int64, each sample's task.
        task_of_class: (classes,) int64, each column's task.

    Returns:
        (batch, classes): the logits, -inf where the class belongs to another task, so that softmax and argmax run over
        the classes of the sample's own task only (paper, eq. of the prediction probability).
    """
    return logits.masked_fill(task_of_class.unsqueeze(0) != task.unsqueeze(1), float("-inf"))


def task_cross_entropy(logits: Tensor, label: Tensor, task: Tensor, task_of_class: Tensor) -> Tensor:
    """Cross-entropy of every sample within its own task, summed over tasks and divided by the batch size.

    ``label`` (batch,) int64 holds column indices of ``logits``; the other arguments are those of ``within_task``.
    The sum over tasks of per-task sums is the sum over samples, so a mean over the batch is the paper's loss.
    """
    return F.cross_entropy(within_task(logits, task, task_of_class), label)
