"""Context vectors: the base class of what prompt methods learn, and contexts that are learned directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from prompting.padded_text import AnyText


class PromptLearner(nn.Module):
    """What a method learns. Only its parameters are trained, saved and counted."""

    n_ctx: int
    position: str = "end"
    class_specific = False  # True: one context per class; False: one for all tasks, or one or more per task
    # Names of CoOp's repository and its kin -> names here, with {} for the task; see trainers/engine/saved_prompts.py.
    foreign_names: ClassVar[Mapping[str, str]] = {}
    # For training that starts from another run, see trainers/engine/starting.py: what all tasks share in words; and
    # the beginnings of the names of parameters that start anew.
    shared_words: ClassVar[str] = "what all tasks share"
    fresh: ClassVar[tuple[str, ...]] = ()

    @property
    def rows(self) -> Mapping[str, str]:
        """Parameters without a number in their names whose rows belong to "tasks" or to "classes", in order."""
        return {}

    def context_of_class(self, task: int, flat_class: int) -> int:
        """Return the index of the context that the prompt of a class uses."""
        raise NotImplementedError

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        """Return all context vectors, (contexts, n_ctx, ctx_dim).

        Only those of ``tasks`` need to carry gradients. With ``classes``, only the prompts of these classes are
        encoded, so a class-specific learner may leave the other contexts at zero.
        """
        raise NotImplementedError

    def task_features(self) -> Tensor | None:
        """Return what the method computes from the tasks' names, (tasks, feature_dim); None for most methods."""
        return None


def word_vectors(text: AnyText, words: str) -> Tensor | None:
    """Return the embeddings of ``words``, (tokens, ctx_dim) float32, to start a context from; None if ``words`` is
    empty.

    Underscores mean spaces, as in CoOp's CTX_INIT.
    """
    tokens = text.vocabulary.encode(words.replace("_", " ").strip())
    return text.word_vectors(tokens).detach().float().cpu() if tokens else None


class ContextTable(PromptLearner):
    """Contexts as free parameters: one for all tasks, or one per task.

    Args:
        n_contexts: 1, or the number of tasks.
        n_ctx: vectors in a context.
        ctx_dim: width of a vector.
        position: of the class name.
        start: initial values, (n_ctx, ctx_dim) for all contexts or (n_contexts, n_ctx, ctx_dim); without it they are
            drawn with standard deviation 0.02.
    """

    ctx: nn.ParameterList
    foreign_names = {"ctx": "ctx.{}"}
    shared_words = "the shared context"

    def __init__(self, n_contexts: int, n_ctx: int, ctx_dim: int, position: str = "end", start: Tensor | None = None):
        super().__init__()
        self.n_ctx, self.position = n_ctx, position
        # One parameter each, so that the optimiser does not touch the contexts of tasks that are not in a batch.
        self.ctx = nn.ParameterList(torch.empty(n_ctx, ctx_dim).normal_(std=0.02) for _ in range(n_contexts))
        self._start(start)

    @torch.no_grad()
    def _start(self, start: Tensor | None) -> None:
        if start is None:
            return
        for index, ctx in enumerate(self.ctx):
            ctx.copy_(start if start.dim() == 2 else start[index])

    def context_of_class(self, task: int, flat_class: int) -> int:
        return task if len(self.ctx) > 1 else 0

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        used = set(tasks) if len(self.ctx) > 1 else {0}
        return torch.stack([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])


class ClassContextTable(ContextTable):
    """One context per class. Those of a task are one parameter, (classes of the task, n_ctx, ctx_dim), since a batch
    with images of a task encodes all its classes.

    Args:
        n_classes: number of classes of each task.
        start: (n_ctx, ctx_dim), initial value of every context.
    """

    class_specific = True

    def __init__(
        self, n_classes: Sequence[int], n_ctx: int, ctx_dim: int, position: str = "end", start: Tensor | None = None
    ):
        super().__init__(0, n_ctx, ctx_dim, position)
        self.ctx.extend(torch.empty(n, n_ctx, ctx_dim).normal_(std=0.02) for n in n_classes)
        self._start(start)

    def context_of_class(self, task: int, flat_class: int) -> int:
        return flat_class

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        used = set(tasks)
        return torch.cat([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])
