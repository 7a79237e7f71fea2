"""Losses over the flat class axis of a task collection."""

from __future__ import annotations

import torch
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
        the classes of the sample's own task only (paper, eq. of the prediction probability). Their cross-entropy,
        averaged over the batch, is the paper's loss: per-task sums, summed over tasks, divided by the batch size.
    """
    return logits.masked_fill(task_of_class.unsqueeze(0) != task.unsqueeze(1), float("-inf"))
