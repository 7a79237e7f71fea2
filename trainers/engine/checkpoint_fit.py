"""Does a checkpoint fit? A check whether parameters learned by one method on some tasks can be used here.

A run's folder records the tasks and classes that its parameters were trained on, and for how long, in tasks.json, and
the method with its settings in config.yaml. Shapes do not suffice: contexts of four tasks would load for four other
tasks, and CoOp's for ProGrad.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from yacs.config import CfgNode

from common.catalogue import Method
from common.errors import InputError
from common.files import write_atomically
from common.knobs import Knob
from common.paths import TASKS
from prompting.tasks import TaskLayout
from trainers.engine.settings import noted_settings, plain, value_of

T = TypeVar("T")
LISTED = 3  # names in a message


def note_tasks(folder: Path | str, layout: TaskLayout, seconds: float = 0.0) -> None:
    """Record, beside a run's checkpoints, their tasks and the seconds of training so far."""
    path = Path(folder) / TASKS
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = [{"name": task.name, "classnames": list(task.classnames)} for task in layout.tasks]
    write_atomically(path, json.dumps({"seconds": round(seconds, 3), "tasks": tasks}, indent=1) + "\n")


def _noted(folder: Path | str, read: Callable[[dict], T]) -> T | None:
    try:
        return read(json.loads((Path(folder) / TASKS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{Path(folder) / TASKS} is damaged; train the run again, or remove that file.") from None


def noted_tasks(folder: Path | str) -> list[tuple[str, list[str]]] | None:
    """(name, class names) of the tasks that a run's checkpoints were trained on; None if that is not recorded."""
    return _noted(folder, lambda noted: [(task["name"], list(task["classnames"])) for task in noted["tasks"]])


def noted_seconds(folder: Path | str) -> float:
    """The seconds of training in a run's newest checkpoint; 0 if that is not recorded."""
    return _noted(folder, lambda noted: float(noted.get("seconds", 0.0))) or 0.0


def check_made_alike(folder: Path | str, cfg: CfgNode, section: str, knobs: Sequence[Knob]) -> None:
    """InputError if a run's parameters were learned by another method, with other knobs, or for another CLIP.

    Args:
        folder: the run's; one without config.yaml is trusted.
        cfg: the settings with which the parameters are to be used.
        section: the method's section, cfg.TRAINER.<section>.
        knobs: the method's; those that only training reads may differ.
    """
    before = noted_settings(folder)
    if before is None:
        return
    own = f"TRAINER.{section}."
    names = [own + knob.name for knob in knobs if not knob.training]
    digests = (before.get("MODEL.BACKBONE.DIGEST"), cfg.MODEL.BACKBONE.DIGEST)
    tower = "MODEL.BACKBONE.DIGEST" if all(digests) else "MODEL.BACKBONE.NAME"  # a file may lie anywhere
    compared = ["TRAINER.NAME", *(key for key in names if key in before), tower]
    for key in compared:
        then, now = before.get(key), plain(value_of(cfg, key))
        if then != now:
            raise InputError(
                f"The checkpoint in {folder} was trained with {key} {then}, and here it is {now}; set it to the same "
                "value, or name another run."
            )


def check_tied(folder: Path | str, layout: TaskLayout, method: Method) -> None:
    """InputError if a run's parameters belong to other tasks, or other classes, than those of ``layout``.

    Parameters of a single task can be used for any other single task, as the literature tests prompts trained on
    ImageNet. If they belong to classes, tasks may have other names.
    """
    learned = noted_tasks(folder)
    if method.tied_to == "nothing" or learned is None:
        return
    here = [(task.name, list(task.classnames)) for task in layout.tasks]
    part = 0 if method.tied_to == "tasks" else 1
    if [task[part] for task in learned] == [task[part] for task in here]:
        return
    if method.tied_to == "tasks" and len(learned) == len(here) == 1:
        return
    raise InputError(
        f"{method.name} in {folder} has {method.ties}, trained for {_listed(learned, part)}, and cannot be used for "
        f"{_listed(here, part)}; train a method whose parameters all tasks share, such as SoftCPT-NATA or CoOp-MT."
    )


def _listed(tasks: list[tuple[str, list[str]]], part: int) -> str:
    """The tasks in a few words; with the number of their classes if the classes differ."""
    names = [f"'{name}'" + (f" ({len(classes)} classes)" if part else "") for name, classes in tasks]
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more tasks" if len(names) > LISTED else "")
