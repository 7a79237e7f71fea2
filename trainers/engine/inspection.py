"""What a finished run learned, for a reader: which tasks are alike, and which words are nearest to the contexts."""

from __future__ import annotations

import torch
from torch import Tensor

from prompting.losses import unit
from prompting.tasks import TaskLayout
from prompting.towers import TextTower
from trainers.engine.contexts import PromptLearner

WORDS = 3  # nearest words of a context vector
DESCRIBED = 64  # contexts whose words are listed
ALL_TASKS = "all tasks"


@torch.no_grad()
def describe(learner: PromptLearner, layout: TaskLayout, text: TextTower) -> dict | None:
    """What results.json has under "contexts"; None for a method that has none, or whose contexts depend on the image.

    Returns:
        {"task_similarity": {"task features" | "contexts": (tasks, tasks) cosines}, "words": [{"of": what the context is
        of, "nearest": for every context vector its nearest [word, Euclidean distance] pairs}, ...]}
    """
    tasks = range(len(layout))
    try:
        contexts = learner.contexts(tasks).float()
    except NotImplementedError:
        return None
    similar = {"task features": learner.task_features(), "contexts": by_task(contexts, layout, learner.class_specific)}
    names = owners(len(contexts), layout, learner.class_specific)[:DESCRIBED]
    nearest = nearest_words(contexts[: len(names)], text)
    words = [{"of": name, "nearest": found} for name, found in zip(names, nearest, strict=False)]
    cosines = {what: rounded(cosine(rows)) for what, rows in similar.items() if rows is not None}
    return {"task_similarity": cosines, "words": words}


def owners(count: int, layout: TaskLayout, class_specific: bool = False) -> list[str]:
    """What each of ``count`` contexts is of: all tasks, a task, a class, or a task with several."""
    if class_specific:
        return list(layout.classnames)
    tasks = [task.name for task in layout.tasks]
    if count == 1:
        return [ALL_TASKS]
    if count == len(tasks):
        return tasks
    return [f"{name}, context {k}" for name in tasks for k in range(1, count // len(tasks) + 1)]


def by_task(contexts: Tensor, layout: TaskLayout, class_specific: bool = False) -> Tensor | None:
    """(tasks, ...) what is each task's of (contexts, n_ctx, ctx_dim); of a context per class their mean. None where
    tasks share one, or there is but one task."""
    if len(contexts) == 1 or len(layout) == 1:
        return None
    if not class_specific:
        return contexts.flatten(1).unflatten(0, (len(layout), -1)).flatten(1)
    parts = (contexts[classes.start : classes.stop] for classes in map(layout.classes_of, range(len(layout))))
    return torch.stack([part.mean(0).flatten() for part in parts])


def cosine(rows: Tensor) -> Tensor:
    """(n, d) -> (n, n)."""
    rows = unit(rows.float())
    return rows @ rows.t()


def nearest_words(contexts: Tensor, text: TextTower) -> list[list[list]]:
    """For every (n_ctx, ctx_dim) context and vector the nearest words of the vocabulary, by Euclidean distance."""
    known = text.vocabulary.words
    if not known:
        return []
    table = text.token_embedding.weight.detach()[torch.tensor(list(known), device=contexts.device)].float()
    words, found = list(known.values()), []
    for context in contexts:
        distance, index = torch.cdist(context, table).topk(WORDS, largest=False)
        pairs = zip(distance.tolist(), index.tolist(), strict=True)
        found.append([[[words[i], round(d, 3)] for d, i in zip(*pair, strict=True)] for pair in pairs])
    return found


def rounded(matrix: Tensor) -> list[list[float]]:
    """With four decimals, for JSON."""
    return [[round(value, 4) for value in row] for row in matrix.tolist()]
