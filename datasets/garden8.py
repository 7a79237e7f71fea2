"""Garden-8: eight related attribute tasks on drawn flowers. Needs no download: the pictures are drawn on first use."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY
from yacs.config import CfgNode

from common.errors import FULL, InputError, of_system
from common.files import read_json
from datasets.collection import TaskCollection
from datasets.drawing import write_collection
from datasets.fewshot import TaskImages
from prompting.tasks import Task


@DATASET_REGISTRY.register()
class Garden8(TaskCollection):
    """Reads ``<root>/garden8`` from image files, as if they were photographs."""

    def read_tasks(self, cfg: CfgNode, root: Path) -> list[TaskImages]:
        try:
            folder = write_collection(root)
        except OSError as error:
            if error.errno in FULL:
                raise of_system(error, root) from None
            raise InputError(
                f"Garden-8 cannot be written to {root} ({error.strerror or error}); choose another folder with --data."
            ) from None
        split = read_json(folder / "split.json")  # as it is planned, see `write_collection`
        tasks = []
        for entry in split["tasks"]:
            task = Task(entry["name"], tuple(entry["classnames"]), entry["template"], entry["metric"])
            parts = {p: [(str(folder / path), index) for path, index in entry[p]] for p in ("train", "val", "test")}
            tasks.append(TaskImages(task, f"garden8/{entry['name']}", task.classnames, **parts))
        return tasks
