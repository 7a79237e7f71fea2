"""Training that starts from what another run learned (MODEL.FROM), by the names of tasks and classes.

What all tasks share is always taken. Parameters of a task, or rows of a class, go to the task or class of that name;
those of new ones start as always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from classifier.bundle import RECORD, TENSORS, Bundle, read_bundle
from classifier.questions import questions_of
from common.errors import InputError
from common.files import is_regular
from common.paths import TRACES
from common.text import counted, some
from prompting.padded_text import AnyText
from trainers.engine.resuming_trainer import checkpoint_of

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
    then = {name: number for number, (name, _) in reversed([*enumerate(before)])}
    for key, initial in wanted.items():
        number = TASK.search(key) if tied_to != "nothing" else None
        if key.startswith(tuple(fresh)):
            continue
        if number is not None:
            name, words = now[int(number.group())]
            if name not in then:
                continue
            old = _of(saved, f"{key[: number.start()]}{then[name]}{key[number.end() :]}")
            was = before[then[name]][1]
            if tied_to == "classes" and (len(old), len(initial)) == (len(was), len(words)):
                owned = [[(name, plain(word)) for word in listed] for listed in (was, words)]
                found.state[key] = _rows(found.classes, old, initial, owned[0], owned[1], key)
            else:
                found.state[key] = _same_shape(old, initial, key)
                found.tasks.add(name)
        elif key in rows:
            of_tasks = rows[key] == "tasks"
            owned = [
                [(name, "") for name, _ in tasks]
                if of_tasks
                else [(name, plain(word)) for name, words in tasks for word in words]
                for tasks in (before, now)
            ]
            owners: set[tuple[str, str]] = set()
            found.state[key] = _rows(owners, _of(saved, key), initial, owned[0], owned[1], key)
            found.tasks |= {name for name, _ in owners} if of_tasks else set()
            found.classes |= owners if not of_tasks else set()
        else:
            found.state[key] = _same_shape(_of(saved, key), initial, key)
            found.shared = True
    return found


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


def learned_file(folder: Path | str) -> Path:
    """Return the file of a run or a classifier that holds what was learned; InputError if there is none."""
    folder = Path(folder)
    run = any(is_regular(folder / name) for name in TRACES)
    path = checkpoint_of(folder) if run else folder / TENSORS
    if not is_regular(path):
        what = "a checkpoint" if run else "the folder of a run, nor of a classifier"
        has = "has not" if run else "is neither"
        raise InputError(f"MODEL.FROM: {folder} {has} {what}; give a finished run's folder, or a classifier's.")
    return path


def bundle_in(folder: Path) -> Bundle | None:
    """Return the bundle in a folder that is no run's; None for a run's folder."""
    if any(is_regular(folder / name) for name in TRACES) or not is_regular(folder / RECORD):
        return None
    return read_bundle(folder)


def learned_in(bundle: Bundle, seed: int, text: AnyText) -> Mapping[str, Tensor]:
    """Return the parameters that a bundle holds, by the names of a checkpoint: those of this seed if it has several.

    Raises:
        InputError: it holds not all that the method learned, or another seed.
    """
    seeds = bundle.record.get("seeds", [])
    if len(bundle.questions) > 1 and seed not in seeds:
        raise InputError(f"it has the seeds {', '.join(map(str, seeds))} and no seed {seed}")
    state = bundle.questions[seeds.index(seed) if len(bundle.questions) > 1 else 0]
    found = None if state is None else questions_of(*state, text).learned()
    if found is None:
        raise InputError(f"the classifier does not hold all that {bundle.method} learned; give its run's folder")
    return found
