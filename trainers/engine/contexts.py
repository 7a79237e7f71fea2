"""Where context vectors come from: what every learner says of its own, and those that are learned directly, which may
start from words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prompting.towers import TextTower


class PromptLearner(nn.Module):
    """What a method learns. Its parameters are all that is trained, saved and counted."""

    n_ctx: int
    position: str = "end"
    class_specific = False  # a context for every class; otherwise one for all tasks, or some for each

    def context_of_class(self, task: int, flat_class: int) -> int:
        """Which context the prompt of a class uses."""
        raise NotImplementedError

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        """(contexts, n_ctx, ctx_dim) context vectors; only those of ``tasks`` need carry gradients."""
        raise NotImplementedError

    def task_features(self) -> Tensor | None:
        """(tasks, feature_dim) what the method knows of the tasks by their names; None for most."""
        return None


def word_vectors(text: TextTower, words: str) -> Tensor | None:
    """(tokens of ``words``, ctx_dim) float32 embeddings to start a context from; None when there are no words.

    Underscores mean spaces, as in CoOp's CTX_INIT.
    """
    tokens = text.vocabulary.encode(words.replace("_", " ").strip())
    weight = text.token_embedding.weight.detach()
    return weight[torch.tensor(tokens, device=weight.device)].float().cpu() if tokens else None


class ContextTable(PromptLearner):
    """Contexts as free parameters: one for all tasks, or one per task.

    Args:
        n_contexts: 1, or the number of tasks.
        n_ctx: vectors in a context.
        ctx_dim: width of a vector.
        position: of the class name.
        start: what contexts start from, (n_ctx, ctx_dim) for all or (n_contexts, n_ctx, ctx_dim); without it they are
            drawn with standard deviation 0.02.
    """

    def __init__(self, n_contexts: int, n_ctx: int, ctx_dim: int, position: str = "end", start: Tensor | None = None):
        super().__init__()
        self.n_ctx, self.position = n_ctx, position
        # A parameter each, so that the optimiser leaves the contexts of tasks that are not in a batch untouched.
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

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        used = set(tasks) if len(self.ctx) > 1 else {0}
        return torch.stack([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])


class ClassContextTable(ContextTable):
    """A context per class. Those of a task are one parameter, (classes of the task, n_ctx, ctx_dim), since a batch of a
    task encodes all its classes.

    Args:
        n_classes: classes of each task.
        start: (n_ctx, ctx_dim), what every context starts from.
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

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        used = set(tasks)
        return torch.cat([ctx if index in used else ctx.detach() for index, ctx in enumerate(self.ctx)])
