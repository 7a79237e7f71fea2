"""Checks that a checkpoint fits: that parameters trained by one run can be used by another.

A run's folder records in tasks.json the tasks and classes that its parameters were trained on and the training time,
and in config.yaml the method and its settings. Comparing shapes is not enough: contexts of four tasks would load for
four other tasks, and CoOp's would load for ProGrad.
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
from common.text import some
from prompting.tasks import TaskLayout
from trainers.engine.settings import noted_settings, plain, value_of

T = TypeVar("T")


def note_tasks(folder: Path | str, layout: TaskLayout, seconds: float = 0.0, images: str = "") -> None:
    """Record the tasks of a run's checkpoints, the seconds of training so far and a hash of the images that were drawn,
    in the run's folder."""
    path = Path(folder) / TASKS
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = [{"name": task.name, "classnames": list(task.classnames)} for task in layout.tasks]
    write_atomically(
        path, json.dumps({"seconds": round(seconds, 3), "images": images, "tasks": tasks}, indent=1) + "\n"
    )


def _noted(folder: Path | str, read: Callable[[dict], T]) -> T | None:
    try:
        return read(json.loads((Path(folder) / TASKS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{Path(folder) / TASKS} is damaged; train the run again, or remove that file.") from None


def noted_tasks(folder: Path | str) -> list[tuple[str, list[str]]] | None:
    """Return (name, class names) of the tasks that a run's checkpoints were trained on; None if not recorded."""
    return _noted(folder, lambda noted: [(task["name"], list(task["classnames"])) for task in noted["tasks"]])


def check_images(folder: Path | str, images: str) -> None:
    """InputError if a run's checkpoint was trained on other images: test images could be among them."""
    before = _noted(folder, lambda noted: str(noted.get("images", "")))
    if before and images and before != images:
        raise InputError(
            f"The run in {folder} was begun with other images than are drawn now; --redo starts it again, or remove "
            "its folder."
        )


def noted_seconds(folder: Path | str) -> float:
    """Return the seconds of training in a run's newest checkpoint; 0 if not recorded."""
    return _noted(folder, lambda noted: float(noted.get("seconds", 0.0))) or 0.0


def check_compatible(folder: Path | str, cfg: CfgNode, section: str, knobs: Sequence[Knob]) -> None:
    """Raise InputError if a run's parameters were trained by another method, with other knobs or for another CLIP.

    Args:
        folder: the run's folder; without a config.yaml it is trusted.
        cfg: the settings to use the parameters with.
        section: the method's section, cfg.TRAINER.<section>.
        knobs: the method's knobs; those that only training reads may differ.
    """
    before = noted_settings(folder)
    if before is None:
        return
    own = f"TRAINER.{section}."
    names = [own + knob.name for knob in knobs if not knob.training]
    digests = (before.get("MODEL.BACKBONE.DIGEST"), cfg.MODEL.BACKBONE.DIGEST)
    tower = "MODEL.BACKBONE.DIGEST" if all(digests) else "MODEL.BACKBONE.NAME"  # the file may have moved
    compared = ["TRAINER.NAME", *(key for key in names if key in before), tower]
    for key in compared:
        then, now = before.get(key), plain(value_of(cfg, key))
        if then != now:
            raise InputError(
                f"The checkpoint in {folder} was trained with {key} {then}, but here it is {now}; set it to the same "
                "value, or name another run."
            )


def check_tied(folder: Path | str, layout: TaskLayout, method: Method) -> None:
    """Raise InputError if a run's parameters belong to other tasks, or other classes, than those of ``layout``.

    Parameters of a single task can be used for any other single task: the literature tests prompts trained on ImageNet
    this way. Parameters that belong to classes need the same classes, but the tasks may have other names.
    """
    trained = noted_tasks(folder)
    if method.tied_to == "nothing" or trained is None:
        return
    here = [(task.name, list(task.classnames)) for task in layout.tasks]
    part = 0 if method.tied_to == "tasks" else 1
    if [task[part] for task in trained] == [task[part] for task in here]:
        return
    if method.tied_to == "tasks" and len(trained) == len(here) == 1:
        return
    raise InputError(
        f"{method.name} in {folder} has {method.ties}, trained for {_listed(trained, part)}, and cannot be used for "
        f"{_listed(here, part)}; train a method whose parameters all tasks share, such as SoftCPT-NATA or CoOp-MT."
    )


def _listed(tasks: list[tuple[str, list[str]]], part: int) -> str:
    """Return a short list of the tasks' names, with their numbers of classes if ``part`` is 1."""
    names = [f"'{name}'" + (f" ({len(classes)} classes)" if part else "") for name, classes in tasks]
    return some(names)
