"""Whether what was learned by one method on some tasks and classes can be used by this one on others.

A run's folder says which tasks and classes its parameters were learned on, and for how long, in tasks.json, and by
which method with which settings in config.yaml. Shapes alone do not tell: four tasks' contexts would load for four
other tasks, and CoOp's for ProGrad.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from yacs.config import CfgNode

from common.errors import InputError
from common.files import write_atomically
from prompting.tasks import TaskLayout
from trainers.engine.settings import noted_settings, plain, value_of

FILE = "tasks.json"
T = TypeVar("T")
SHOWN = 3  # names in a message


def note_tasks(folder: Path | str, layout: TaskLayout, seconds: float = 0.0) -> None:
    """Write down, beside a run's checkpoints, what they are learned on, and the seconds of training so far."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = [{"name": task.name, "classnames": list(task.classnames)} for task in layout.tasks]
    write_atomically(path, json.dumps({"seconds": round(seconds, 3), "tasks": tasks}, indent=1) + "\n")


def _noted(folder: Path | str, read: Callable[[dict], T]) -> T | None:
    try:
        return read(json.loads((Path(folder) / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{Path(folder) / FILE} is damaged; train the run anew, or remove that file.") from None


def noted_tasks(folder: Path | str) -> list[tuple[str, list[str]]] | None:
    """(name, class names) of the tasks that a run's checkpoints are learned on; None where that is not written."""
    return _noted(folder, lambda noted: [(task["name"], list(task["classnames"])) for task in noted["tasks"]])


def noted_seconds(folder: Path | str) -> float:
    """The seconds of training in a run's newest checkpoint; 0 where that is not written."""
    return _noted(folder, lambda noted: float(noted.get("seconds", 0.0))) or 0.0


def check_made_alike(folder: Path | str, cfg: CfgNode, section: str, free: Sequence[str] = ()) -> None:
    """InputError when a run's parameters were learned by another method, by another form of it, or for another CLIP.

    Args:
        folder: the run's; one without config.yaml is taken at its word.
        cfg: what is to use the parameters.
        section: where the method's knobs lie, cfg.TRAINER.<section>.
        free: knobs that may differ, since training alone reads them.
    """
    before = noted_settings(folder)
    if before is None:
        return
    own = f"TRAINER.{section}."
    knobs = [own + name for name in cfg.TRAINER[section] if name not in ("PREC", *free)]
    digests = (before.get("MODEL.BACKBONE.DIGEST"), cfg.MODEL.BACKBONE.DIGEST)
    tower = "MODEL.BACKBONE.DIGEST" if all(digests) else "MODEL.BACKBONE.NAME"  # a file may lie anywhere
    compared = ["TRAINER.NAME", *(key for key in knobs if key in before), tower]
    for key in compared:
        then, now = before.get(key), plain(value_of(cfg, key))
        if then != now:
            raise InputError(
                f"What was learned in {folder} was learned with {key} {then}, and here it is {now}; set it alike, or "
                "name another run."
            )


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
