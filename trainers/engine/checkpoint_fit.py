"""Checks that a checkpoint fits: that parameters trained by one run can be used by another.

A run's folder records in tasks.json the tasks and classes that its parameters were trained on and the training time,
and in config.yaml the method and its settings. Comparing shapes is not enough: contexts of four tasks would load for
four other tasks, and CoOp's would load for ProGrad.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from yacs.config import CfgNode

from common.catalogue import Method
from common.errors import InputError
from common.files import SEAL, read_json, unsealed, write_record
from common.knobs import Knob
from common.paths import TASKS
from common.text import counted, some
from prompting.tasks import TaskLayout
from trainers.engine.settings import noted_settings, plain, value_of

T = TypeVar("T")
TRAINED = 100_000  # images whose hashes are recorded; more are not a few-shot run


@dataclass(frozen=True)
class Drawn:
    """The images of one part of a data set: how many, and a hash of their names, labels and contents."""

    count: int
    hash: str


Parts = Mapping[str, Drawn]  # "training", "validation", "test" -> its images


def drawn(
    parts: Mapping[str, Sequence[Any]], name_of: Callable[[Any], str], contents: Callable[[list[str]], list[str]]
) -> Parts:
    """Return what was drawn: ``parts`` holds Dassl's items, ``contents`` returns a hash of each file."""
    found = {}
    for part, items in parts.items():
        hashes = contents([item.impath for item in items])
        rows = sorted(f"{name_of(item)}\t{item.label}\t{hash_}" for item, hash_ in zip(items, hashes, strict=True))
        text = "\n".join(rows).encode("utf-8", "surrogateescape")
        found[part] = Drawn(len(items), hashlib.sha256(text).hexdigest()[:16])
    return found


def hash_of(parts: Parts) -> str:
    """Return one hash of all images; empty if there are none."""
    rows = "".join(f"{name}\t{drawn.count}\t{drawn.hash}\n" for name, drawn in parts.items())
    return hashlib.sha256(rows.encode()).hexdigest()[:16] if rows else ""


def image_hashes(names: Sequence[str], contents: Sequence[str]) -> list[str]:
    """Return a short hash of each image's name and content."""
    rows = (f"{name}\t{content}" for name, content in zip(names, contents, strict=True))
    return [hashlib.sha256(row.encode("utf-8", "surrogateescape")).hexdigest()[:12] for row in rows]


def note_tasks(
    folder: Path | str,
    layout: TaskLayout,
    seconds: float = 0.0,
    images: Parts | None = None,
    trained: Sequence[str] = (),
) -> None:
    """Record in a run's folder the tasks of its checkpoints, the seconds of training so far, the images that were drawn
    and the `image_hashes` of those that are ``trained`` on, if they are at most TRAINED."""
    path = Path(folder) / TASKS
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = [{"name": task.name, "classnames": list(task.classnames)} for task in layout.tasks]
    parts = {name: [drawn.count, drawn.hash] for name, drawn in (images or {}).items()}
    few = sorted(trained) if len(trained) <= TRAINED else []
    write_record(path, {"seconds": round(seconds, 3), "images": parts, "trained": few, "tasks": tasks})


def _noted(folder: Path | str, read: Callable[[dict], T], trusted: bool = False) -> T | None:
    """Read a run's record; None if there is none. Those of earlier versions have no checksum, so they are not read if
    what they say must be ``trusted``."""
    path = Path(folder) / TASKS
    if not os.path.lexists(path):
        return None
    try:
        record = read_json(path)
        if isinstance(record, dict) and SEAL not in record:
            return None if trusted else read(record)
        return read(unsealed(record))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise InputError(f"{path} is damaged; train the run again.") from None


def noted_tasks(folder: Path | str) -> list[tuple[str, list[str]]] | None:
    """Return (name, class names) of the tasks that a run's checkpoints were trained on; None if not recorded."""
    return _noted(folder, lambda noted: [(task["name"], list(task["classnames"])) for task in noted["tasks"]])


def check_images(folder: Path | str, images: Parts, remedy: str) -> None:
    """InputError if a run's checkpoint was trained on other images, or may have been: test images could be among them.

    Without ``images``, nothing is compared.
    """

    def read(noted: dict) -> dict[str, Drawn]:
        return {str(name): Drawn(int(count), str(digest)) for name, (count, digest) in noted["images"].items()}

    if not images:
        return
    before = _noted(folder, read, trusted=True)
    if before is None:
        raise InputError(
            f"The run in {folder} does not record the content of its images, as an earlier version left it, so its "
            f"checkpoint cannot be trusted with those that are drawn now; {remedy}."
        )
    changed = []
    for name in dict.fromkeys([*before, *images]):
        then, now = before.get(name, Drawn(0, "")), images.get(name, Drawn(0, ""))
        if then != now:
            changed.append(f"{name} ({then.count:,} then, {now.count:,} now)")
    if changed:
        raise InputError(
            f"The run in {folder} was begun with other images than are drawn now: those for {' and '.join(changed)} "
            f"differ; {remedy}."
        )


def noted_images(folder: Path | str) -> list[str]:
    """Return the `image_hashes` of the images that a run's checkpoint was trained on; empty if not recorded."""
    return _noted(folder, lambda noted: list(map(str, noted.get("trained", [])))) or []


def check_not_trained_on(what: str, trained: Sequence[str], names: Sequence[str], contents: Sequence[str]) -> None:
    """InputError if something was ``trained`` on some of the images that it would be tested on.

    Args:
        what: for the message, such as "The checkpoint in ...".
        trained: the `image_hashes` of its training images.
        names, contents: of the images of the test, a name and a hash of each file.
    """
    before = set(trained)
    both = [name for name, hash_ in zip(names, image_hashes(names, contents), strict=True) if hash_ in before]
    if both:
        raise InputError(
            f"{what} was trained on {counted(len(both), 'image')} of this test, such as {both[0]}: "
            "the split was drawn again since, after images were added or removed; train the run again."
        )


def noted_seconds(folder: Path | str) -> float:
    """Return the seconds of training in a run's newest checkpoint; 0 if not recorded."""
    seconds = _noted(folder, lambda noted: float(noted.get("seconds", 0.0))) or 0.0
    return seconds if 0 <= seconds < float("inf") else 0.0


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
    _compare(folder, before, cfg, ["TRAINER.NAME", *(key for key in names if key in before)])
    check_tower(folder, cfg)


def check_tower(folder: Path | str, cfg: CfgNode) -> None:
    """Raise InputError if a run's parameters were trained for another CLIP; see `check_compatible`."""
    before = noted_settings(folder)
    if before is not None:
        digests = (before.get("MODEL.BACKBONE.DIGEST"), cfg.MODEL.BACKBONE.DIGEST)
        tower = "MODEL.BACKBONE.DIGEST" if all(digests) else "MODEL.BACKBONE.NAME"  # the file may have moved
        _compare(folder, before, cfg, [tower])


def _compare(folder: Path | str, before: Mapping[str, Any], cfg: CfgNode, keys: Sequence[str]) -> None:
    for key in keys:
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
