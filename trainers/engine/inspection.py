"""What a finished run learned, for human readers: which tasks are similar, and the words nearest to the contexts."""

from __future__ import annotations

import torch
from torch import Tensor

from prompting.losses import unit
from prompting.padded_text import AnyText
from prompting.tasks import TaskLayout
from trainers.engine.contexts import PromptLearner

WORDS = 3  # nearest words per context vector
MAX_CONTEXTS = 64  # whose words are listed
ALL_TASKS = "all tasks"


@torch.no_grad()
def describe(learner: PromptLearner, layout: TaskLayout, text: AnyText) -> dict | None:
    """Return the entry "contexts" of results.json; None for a method without contexts, or if they depend on the image.

    Returns:
        {"task_similarity": {"task features" | "contexts": (tasks, tasks) cosines}, "words": [{"of": owner of the
        context, "nearest": for every context vector its nearest [word, Euclidean distance] pairs}, ...]}
    """
    tasks = range(len(layout))
    try:
        contexts = learner.contexts(tasks).float()
    except NotImplementedError:
        return None
    vectors = {"task features": learner.task_features(), "contexts": by_task(contexts, layout, learner.class_specific)}
    names = owners(len(contexts), layout, learner.class_specific)[:MAX_CONTEXTS]
    nearest = nearest_words(contexts[: len(names)], text)
    words = [{"of": name, "nearest": found} for name, found in zip(names, nearest, strict=False)]
    cosines = {name: rounded(cosine(rows)) for name, rows in vectors.items() if rows is not None}
    return {"task_similarity": cosines, "words": words}


def owners(count: int, layout: TaskLayout, class_specific: bool = False) -> list[str]:
    """Name the owner of each of ``count`` contexts: all tasks, a task, a class, or a task with several contexts."""
    if class_specific:
        return list(layout.classnames)
    tasks = [task.name for task in layout.tasks]
    if count == 1:
        return [ALL_TASKS]
    if count == len(tasks):
        return tasks
    return [f"{name}, context {k}" for name in tasks for k in range(1, count // len(tasks) + 1)]


def by_task(contexts: Tensor, layout: TaskLayout, class_specific: bool = False) -> Tensor | None:
    """(contexts, n_ctx, ctx_dim) -> (tasks, ...): each task's contexts, flattened; with one context per class, the
    mean over the task's classes. None if all tasks share one context, or if there is only one task."""
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


def nearest_words(contexts: Tensor, text: AnyText) -> list[list[list]]:
    """Return the nearest words of the vocabulary, by Euclidean distance, for every vector of every context.

    ``contexts`` is (contexts, n_ctx, ctx_dim). Empty if the vocabulary lists no words.
    """
    known = text.vocabulary.words
    if not known:
        return []
    table = text.word_vectors(list(known)).detach().float()
    words, found = list(known.values()), []
    for context in contexts:
        distance, index = torch.cdist(context, table).topk(WORDS, largest=False)
        pairs = zip(distance.tolist(), index.tolist(), strict=True)
        found.append([[[words[i], round(d, 3)] for d, i in zip(*pair, strict=True)] for pair in pairs])
    return found


def rounded(matrix: Tensor) -> list[list[float]]:
    """Round to four decimals, for JSON."""
    return [[round(value, 4) for value in row] for row in matrix.tolist()]
