"""Losses over the flat class axis of a task collection."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(features: Tensor) -> Tensor:
    """Normalise features along the last axis, in float32 or the features' own dtype if that is wider."""
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return features / features.norm(dim=-1, keepdim=True)


def within_task(logits: Tensor, task: Tensor, task_of_class: Tensor) -> Tensor:
    """Mask the logits of other tasks' classes.

    Args:
        logits: (batch, classes) float, over the flat class axis.
        task: (batch,) int64, each sample's task.
        task_of_class: (classes,) int64, each column's task.

    Returns:
        (batch, classes): the logits, with -inf for classes of other tasks, so that softmax and argmax only see the
        classes of the sample's own task (paper, equation of the prediction probability). The cross-entropy of these
        logits, averaged over the batch, is the paper's loss: the sum over all tasks, divided by the batch size.
    """
    return logits.masked_fill(task_of_class.unsqueeze(0) != task.unsqueeze(1), float("-inf"))
