"""The photographs that a finished run was trained and tested on, where they still are."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

import datasets  # noqa: F401  registers the data sets
from common.errors import InputError
from common.paths import CONFIG
from common.text import one_line
from datasets.declared import FolderCollection
from datasets.images import data_root
from datasets.yaml_files import read_yaml
from runs import pictures


class Pictured(NamedTuple):
    """A photograph, and its class in a task."""

    path: str
    task: str
    classname: str


class Photographs(NamedTuple):
    """The photographs of a run, in the order of its tasks."""

    train: list[Pictured]
    test: list[Pictured]


def photographs_of(folder: Path, data: Path | None = None) -> Photographs:
    """The training and test photographs of a finished run; none is opened, and nothing is written.

    Args:
        folder: the run's.
        data: where the data sets are, if not where the run had them.

    Raises:
        InputError: they are not there, or not those of the run any more.
    """
    try:
        cfg = CfgNode(read_yaml(folder / CONFIG))
        if data is not None:
            cfg.DATASET.ROOT = str(data)
        root, declaration = data_root(cfg), str(cfg.DATASET.DECLARATION)
        # Building would draw Garden-8 again.
        if not root.is_dir() or pictures.missing(folder, root):
            raise InputError(f"the photographs of this run are not in {root}")
        if pictures.changes(folder, root):
            raise InputError(f"the photographs in {root} changed since this run")
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            dataset = _declared(declaration)(cfg) if declaration else DATASET_REGISTRY.get(str(cfg.DATASET.NAME))(cfg)
        train = [] if dataset.test_only else dataset.train_x
        items = {"train": train, "test": [] if dataset.untested else dataset.test}
        tasks = dataset.layout.tasks
        return Photographs(
            **{
                part: [Pictured(item.impath, tasks[item.domain].name, item.classname) for item in those]
                for part, those in items.items()
            }
        )
    except (AssertionError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise InputError(f"the photographs of this run cannot be listed ({one_line(error)})") from None


def _declared(declaration: str) -> type[FolderCollection]:
    """The collection that a run's config declares, whatever the declaration says today."""
    return type("Declared", (FolderCollection,), {"declaration": json.loads(declaration)})
