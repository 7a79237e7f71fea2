"""Training that starts from what another run learned (MODEL.FROM), by the names of tasks and classes.

What all tasks share is always taken. Parameters of a task, or rows of a class, go to the task or class of that name;
those of new ones start as always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from classifier.bundle import RECORD, Bundle, UsedTower, damaged, read_bundle
from classifier.questions import Questions, questions_of
from common.checkpoints import is_run
from common.errors import InputError
from common.files import is_regular
from common.text import counted, some
from prompting.padded_text import AnyText

Tasks = Sequence[tuple[str, Sequence[str]]]  # (name, class names)
TASK = re.compile(r"(?<![^.])\d+(?![^.])")  # the first number in a parameter's name is its task's


@dataclass
class Taken:
    """What was taken: ``state`` has the learner's parameters by name, for some of their rows as they were before."""

    state: dict[str, Tensor] = field(default_factory=dict)
    shared: bool = False
    tasks: set[str] = field(default_factory=set)
    classes: set[tuple[str, str]] = field(default_factory=set)

    def line(self, source: Path | str, shared: str, before: Tasks, now: Tasks) -> str:
        """Say in a line what was taken, what is new and what is left out; ``shared`` is what all tasks share."""
        parts = [shared] * self.shared
        if self.tasks:
            parts.append(f"parameters of {counted(len(self.tasks), 'task')}")
        if self.classes:
            parts.append(f"parameters of {counted(len(self.classes), 'class', 'classes')}")
        text = f"From {source}: {', '.join(parts)}; new: {_difference(now, before) or 'nothing'}"
        gone = _difference(before, now)
        return text + (f"; not here: {gone}" if gone else "")


def _difference(tasks: Tasks, others: Tasks) -> str:
    """Name the tasks and classes that others do not have."""
    known = {name: {plain(word) for word in words} for name, words in others}
    found = [f"'{name}'" for name, _ in tasks if name not in known]
    for name, words in tasks:
        found += [f"'{word}' of '{name}'" for word in words if plain(word) not in known.get(name, {plain(word)})]
    return some(found, 5)


def plain(classname: str) -> str:
    """A class name as it is compared: underscores mean spaces."""
    return classname.replace("_", " ").strip()


def taken(
    saved: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    before: Tasks,
    now: Tasks,
    tied_to: str,
    rows: Mapping[str, str],
    fresh: Sequence[str] = (),
) -> Taken:
    """Return what fits of another run's parameters.

    Args:
        saved, wanted: the other run's parameters, and the learner's, as they are initially.
        before, now: their tasks.
        tied_to: what parameters with a number in their names belong to: "tasks", "classes" or "nothing".
        rows: of parameters without a number, whose rows belong to "tasks" or "classes".
        fresh: beginnings of the names of parameters that start anew.

    Raises:
        InputError: a parameter that is shared, or of a task that both have, is missing or has another shape.
    """
    found = Taken()
    for key, initial in wanted.items():
        number = TASK.search(key) if tied_to != "nothing" else None
        if key.startswith(tuple(fresh)):
            continue
        if number is not None:
            _take_of_task(found, saved, initial, number, before, now, of_classes=tied_to == "classes")
        elif key in rows:
            _take_rows(found, _of(saved, key), initial, key, before, now, of_tasks=rows[key] == "tasks")
        else:
            found.state[key] = _same_shape(_of(saved, key), initial, key)
            found.shared = True
    return found


def _take_of_task(
    found: Taken,
    saved: Mapping[str, Tensor],
    initial: Tensor,
    number: re.Match[str],
    before: Tasks,
    now: Tasks,
    of_classes: bool,
) -> None:
    """Take a parameter whose name has its task's ``number``, if both have a task of that name.

    With ``of_classes``, one that has a row for each class is taken row by row.
    """
    key = number.string
    name, words = now[int(number.group())]
    place = next((place for place, (task, _) in enumerate(before) if task == name), None)
    if place is None:
        return
    old, was = _of(saved, f"{key[: number.start()]}{place}{key[number.end() :]}"), before[place][1]
    if of_classes and (len(old), len(initial)) == (len(was), len(words)):
        found.state[key] = _rows(found.classes, old, initial, _classes([(name, was)]), _classes([(name, words)]), key)
    else:
        found.state[key] = _same_shape(old, initial, key)
        found.tasks.add(name)


def _take_rows(found: Taken, old: Tensor, initial: Tensor, key: str, before: Tasks, now: Tasks, of_tasks: bool) -> None:
    """Take a parameter whose rows belong to tasks or classes: the rows of those that both have."""
    were, are = ([(name, "") for name, _ in tasks] if of_tasks else _classes(tasks) for tasks in (before, now))
    owners: set[tuple[str, str]] = set()
    found.state[key] = _rows(owners, old, initial, were, are, key)
    if of_tasks:
        found.tasks |= {name for name, _ in owners}
    else:
        found.classes |= owners


def _classes(tasks: Tasks) -> list[tuple[str, str]]:
    """Return the owners of rows that belong to classes: (task, class name as it is compared)."""
    return [(name, plain(word)) for name, words in tasks for word in words]


def _of(saved: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in saved:
        raise InputError(f"it has no '{key}'")
    return saved[key]


def _same_shape(value: Tensor, initial: Tensor, key: str) -> Tensor:
    if value.shape != initial.shape:
        raise InputError(f"its '{key}' has the shape {tuple(value.shape)}, and here it is {tuple(initial.shape)}")
    return value


def _rows(
    owners: set[tuple[str, str]],
    value: Tensor,
    initial: Tensor,
    before: Sequence[tuple[str, str]],
    now: Sequence[tuple[str, str]],
    key: str,
) -> Tensor:
    """Return ``initial`` with the rows whose owners are in both; these are added to ``owners``."""
    if value.shape[1:] != initial.shape[1:] or (len(value), len(initial)) != (len(before), len(now)):
        raise InputError(f"its '{key}' has the shape {tuple(value.shape)}, and here it is {tuple(initial.shape)}")
    place = {owner: row for row, owner in reversed([*enumerate(before)])}
    result = initial.detach().clone()
    for row, owner in enumerate(now):
        if owner in place:
            result[row] = value[place[owner]].to(result)
            owners.add(owner)
    return result


@dataclass(frozen=True)
class Learned:
    """What another run learned: parameters by their names in a checkpoint, its tasks, and the hashes of its training
    images (`checkpoint_fit.image_hashes`); these are empty if it does not record them."""

    state: Mapping[str, Tensor]
    tasks: Tasks
    images: Sequence[str]


def bundle_in(folder: Path) -> Bundle | None:
    """Return the bundle in a folder that is no run's; None for a run's folder."""
    if is_run(folder) or not is_regular(folder / RECORD):
        return None
    return read_bundle(folder)


def learned_in(bundle: Bundle, seed: int, text: AnyText, here: Questions | None) -> Learned:
    """Return what a bundle holds: that of this seed if it has several.

    Args:
        text: the text tower.
        here: the learner's own `questions`, which must have the same settings.

    Raises:
        InputError: it holds not all that the method learned, or another seed, or was trained with other settings.
    """
    seeds = bundle.record.get("seeds", [])
    if len(bundle.questions) > 1 and seed not in seeds:
        raise InputError(f"it has seeds {', '.join(map(str, seeds))} but no seed {seed}")
    try:
        state = bundle.questions[seeds.index(seed) if len(bundle.questions) > 1 else 0]
        before = None if state is None else questions_of(*state, text)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise damaged(bundle.folder, error) from None
    learned = None if before is None else before.learned()
    if before is None or learned is None or here is None:
        raise InputError(f"the classifier does not hold all that {bundle.method} learned; give its run's folder")
    _check_same(before, here)
    return Learned(learned, [(task.name, task.classnames) for task in bundle.layout.tasks], before.images)


def _check_same(before: Questions, now: Questions) -> None:
    """Raise InputError if two learners write prompts with other settings; shapes alone would not tell them apart."""
    then, here = ({"kind": one.kind, **_flat(one.values())} for one in (before, now))
    for key in dict.fromkeys([*then, *here]):
        if then.get(key) != here.get(key):
            raise InputError(f"it was trained with another {key}, {then.get(key)}; here it is {here.get(key)}")


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without their groups."""
    groups = [_flat(value) if isinstance(value, Mapping) else {key: value} for key, value in values.items()]
    return {key: value for group in groups for key, value in group.items()}


def check_tower(before: UsedTower, here: UsedTower) -> None:
    """Raise InputError if a bundle was trained with another tower.

    Weights are compared where they were read in the same dtype, for text and for images; without any, the names are.
    """
    digests = [(before.text_digest, here.text_digest)] if before.text_digest and before.dtype == here.dtype else []
    digests += [(before.image_digest, here.image_digest)] if before.image_dtype == here.image_dtype else []
    same = all(then == now for then, now in digests) if digests else before.name == here.name
    if not same or before.activation != here.activation:
        raise InputError(f"it was trained with another tower, {before.name}")
