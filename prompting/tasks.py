"""Collections of tasks, and the place of each task's classes on the flat class axis."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from common.errors import InputError

METRICS = {"A": "overall accuracy", "C": "mean per-class accuracy"}
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # what CLIP's tokenizer splits a text into


@cache
def normal_form(classname: str) -> tuple[str, ...]:
    """What CLIP's tokenizer reads of a class name: pieces of lower-case text, after repairs of Unicode and HTML.

    >>> normal_form("_Oak  tree"), normal_form("oak tree"), normal_form(" ")
    (('oak', 'tree'), ('oak', 'tree'), ())
    """
    import ftfy  # needed for class names alone, and slower to import than the rest
    import regex

    text = ftfy.fix_text(classname.replace("_", " "))
    return tuple(regex.findall(WORD, html.unescape(html.unescape(text)).lower()))


def check_classnames(names: Sequence[str], task: str, keys: Sequence[str] = ()) -> None:
    """Check that the tokenizer can distinguish the class names of a task.

    Args:
        names: the class names.
        task: the task's name, for messages.
        keys: where each name comes from, such as its folder, for messages.

    Raises:
        InputError: a name has nothing that can be read, or two are the same to the tokenizer.
    """
    seen: dict[tuple[str, ...], int] = {}
    for index, name in enumerate(names):
        form = normal_form(name)
        if not form:
            raise InputError(
                f"Class {_shown(names, keys, index)} of task '{task}' has no text for a prompt; give it another name."
            )
        other = seen.setdefault(form, index)
        if other != index:
            raise InputError(
                f"Classes {_shown(names, keys, other)} and {_shown(names, keys, index)} of task '{task}' are the same "
                f"text to CLIP's tokenizer: '{' '.join(form)}'; give them different names, or keep one of them."
            )


def _shown(names: Sequence[str], keys: Sequence[str], index: int) -> str:
    """A class as its user knows it: where its name comes from, then the name if that is another text."""
    name = names[index]
    if index >= len(keys) or keys[index].replace("_", " ") == name.replace("_", " "):
        return repr(keys[index] if index < len(keys) else name)
    return repr(keys[index]) + (f" (called {name!r})" if names.count(name) == 1 else "")


@dataclass(frozen=True)
class Task:
    """One classification task. The meta network reads its name."""

    name: str
    classnames: tuple[str, ...]
    template: str = "a photo of a {}."
    metric: str = "A"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"Task '{self.name}': metric must be one of {sorted(METRICS)}, not '{self.metric}'")
        if not self.classnames:
            raise ValueError(f"Task '{self.name}' has no classes")


@dataclass(frozen=True)
class TaskLayout:
    """The tasks of a collection, in order. The flat class axis holds the classes of one task after the other.

    A single data set is a collection of one task. A sample is (image, task index, flat class index).
    """

    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first flat class index of every task, followed by the number of all classes."""
        offsets = [0]
        for task in self.tasks:
            offsets.append(offsets[-1] + len(task.classnames))
        return tuple(offsets)

    @property
    def n_classes(self) -> int:
        return self.offsets[-1]

    def classes_of(self, task: int) -> range:
        """Return the flat class indices of a task."""
        return range(self.offsets[task], self.offsets[task + 1])

    @cached_property
    def classnames(self) -> tuple[str, ...]:
        """Class names in flat order."""
        return tuple(name for task in self.tasks for name in task.classnames)

    @cached_property
    def task_of_class(self) -> Tensor:
        """(n_classes,) int64: the task of each flat class."""
        sizes = torch.tensor([len(task.classnames) for task in self.tasks])
        return torch.repeat_interleave(torch.arange(len(self)), sizes)

    def classes_of_all(self, tasks: Iterable[int]) -> list[int]:
        """Return the flat class indices of several tasks, in the order of ``tasks``."""
        return [index for task in tasks for index in self.classes_of(task)]
