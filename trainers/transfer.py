"""Whether what was learned on some tasks and classes can be used on others.

A run's folder says which tasks and classes its parameters were learned on, in tasks.json. Shapes alone do not
tell: four tasks' contexts would load for four other tasks.
"""

from __future__ import annotations

import json
from pathlib import Path

from prompting.errors import InputError
from prompting.files import write_atomically
from prompting.tasks import TaskLayout

FILE = "tasks.json"
SHOWN = 3  # names in a message


def note_tasks(folder: Path | str, layout: TaskLayout) -> None:
    """Write down, beside a run's checkpoints, what they are learned on."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = [{"name": task.name, "classnames": list(task.classnames)} for task in layout.tasks]
    write_atomically(path, json.dumps({"tasks": tasks}, indent=1) + "\n")


def noted_tasks(folder: Path | str) -> list[tuple[str, list[str]]] | None:
    """(name, class names) of the tasks that a run's checkpoints are learned on; None where that is not written."""
    try:
        tasks = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))["tasks"]
        return [(task["name"], list(task["classnames"])) for task in tasks]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{Path(folder) / FILE} is damaged; train the run anew, or remove that file.") from None


def check_tied(folder: Path | str, layout: TaskLayout, tied_to: str, method: str) -> None:
    """InputError when a run's parameters belong to other tasks, or other classes, than those of ``layout``.

    Where they belong to tasks, those of a single task will do for any other single task, as the literature tests what
    was learned on ImageNet; where they belong to classes, tasks may have other names.
    """
    learned = noted_tasks(folder)
    if tied_to == "nothing" or learned is None:
        return
    here = [(task.name, list(task.classnames)) for task in layout.tasks]
    part = 0 if tied_to == "tasks" else 1
    if [task[part] for task in learned] == [task[part] for task in here]:
        return
    if tied_to == "tasks" and len(learned) == len(here) == 1:
        return
    raise InputError(
        f"What {method} learned in {folder} is tied to its {tied_to}, {_listed(learned, part)}, and cannot be used for "
        f"{_listed(here, part)}; train a method that is tied to nothing, such as SoftCPT-NATA or CoOp-MT."
    )


def _listed(tasks: list[tuple[str, list[str]]], part: int) -> str:
    """The tasks in a few words, with the number of their classes where it is these that differ."""
    names = [f"'{name}'" + (f" ({len(classes)} classes)" if part else "") for name, classes in tasks]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more tasks" if len(names) > SHOWN else "")
