"""Stands in for runs/config.py and runs/run.py, without PyTorch: a run only writes its results.

A clone (tests/support/launching.py) has this file in the place of both; in the tests' own process, a `FakeRuns` is.
Standard library and common/ only. Settings with the prefix FAKE. make runs fail, each for the seed, or the trainer,
that is its value:

    FAKE.FAIL, FAKE.INTERRUPT, FAKE.BAD    an error, Ctrl-C, an InputError with this seed
    FAKE.DIE                               the process is killed with this seed
    FAKE.REFUSE, FAKE.KILL                 an InputError, a killed process with this trainer
    FAKE.SLEEP                             seconds, after the process has printed its id
    FAKE.GAIN                              is added to every accuracy
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.catalogue import METHODS
from common.errors import InputError

TASKS = ({"name": "petal colour", "metric": "A"}, {"name": "leaf shape", "metric": "C"})
PARTS = {"all": (0, 1), "base": (0,), "new": (1,), "task0": (0,), "task1": (1,)}


@dataclass(frozen=True)
class Settings:
    """The arguments of `load_config`."""

    dataset: Path
    method: str
    overrides: tuple[tuple[str, Any], ...]
    config: Path

    @property
    def values(self) -> dict[str, Any]:
        """The overrides, later ones over earlier ones."""
        return dict(self.overrides)


@dataclass(frozen=True)
class Request:
    """The fields of runs.run.Request."""

    dataset: str = ""
    config: str = ""
    command: tuple[str, ...] = ()
    evaluate: bool = False
    model_dir: str = ""
    load_epoch: int | None = None
    train: bool = True
    brief: bool = False


@dataclass(frozen=True)
class Call:
    """A run that was asked for."""

    settings: Settings
    request: Request

    @property
    def keys(self) -> dict[str, str]:
        """Its settings but for the places and the seed."""
        values = self.settings.values
        return {key: str(values[key]) for key in values if key not in ("DATASET.ROOT", "OUTPUT_DIR", "SEED")}

    @property
    def method(self) -> str:
        return self.settings.method

    @property
    def trainer(self) -> str:
        return METHODS[self.method].trainer

    @property
    def seed(self) -> int:
        return int(self.settings.values["SEED"])

    @property
    def folder(self) -> Path:
        return Path(self.settings.values["OUTPUT_DIR"])

    @property
    def of(self) -> Path | None:
        """The run whose checkpoint it evaluates."""
        return Path(self.request.model_dir) if self.request.evaluate else None


class FakeRuns:
    """``calls`` are all runs so far; ``names_asked`` has, for each question for names of tasks, their number then."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] = [dict(task) for task in TASKS]
        self.calls: list[Call] = []
        self.names_asked: list[int] = []
        self.right: dict[str, int] = {}  # of the 10 held-out images of a class, by method; 5 without

    def load_config(
        self, dataset: Path, method: str, overrides: Iterable[tuple[str, Any]] = (), config: Path | None = None
    ) -> Settings:
        assert config is not None
        return Settings(dataset, method, tuple(overrides), config)

    def task_names(self, settings: Settings) -> list[str]:
        self.names_asked.append(len(self.calls))
        return [task["name"] for task in self.tasks]

    def run(self, settings: Settings, request: Request) -> dict[str, Any]:
        call = Call(settings, request)
        self.calls.append(call)
        call.folder.mkdir(parents=True, exist_ok=True)
        (call.folder / "log.txt").write_text("log")
        fail(call)
        record = self.record(call)
        file = "evaluation.json" if request.evaluate else "results.json"
        (call.folder / file).write_text(json.dumps(record))
        return record

    def record(self, call: Call) -> dict[str, Any]:
        """Accuracies are 50 and 60, plus the seed; 10 less in an evaluation of a checkpoint."""
        gain = call.seed - 10 * (call.of is not None) + int(call.keys.get("FAKE.GAIN", 0))
        checkpoint = f"{call.folder} {len(self.calls)}"
        if call.of is not None:
            checkpoint = json.loads((call.of / "results.json").read_text()).get("checkpoint")
        record: dict[str, Any] = {
            "finished": True,
            "method": call.method,
            "trainer": call.trainer,
            "dataset": call.request.dataset,
            "backbone": "ViT",
            "config": call.request.config,
            "seed": call.seed,
            "shots": int(call.keys.get("DATASET.NUM_SHOTS", -1)),
            "tasks": [
                self.tasks[number] | {"accuracy": (50.0 if self.tasks[number]["metric"] == "A" else 60.0) + gain}
                for number in PARTS[call.keys.get("DATASET.SUBSAMPLE_TASKS", "all")]
                if number < len(self.tasks)
            ],
            "mean": 0.0,
            "counts": {"trainable_parameters": 4096, "train_images": 40},
            "seconds": {"train": 3.0, "test": 1.0, "total": 4.5},
            "command": list(call.request.command),
            "checkpoint": checkpoint,
        }
        right = self.right.get(call.method, 5)
        for task in record["tasks"]:
            if call.keys.get("DATASET.ALL_IMAGES") == "True":
                task["accuracy"] = None
            if "DATASET.FOLD" in call.keys:
                counts = [[c, p, right if c == p else 10 - right] for c in (0, 1) for p in (0, 1)]
                task |= {"classnames": ["a", "b"], "confusion": [row for row in counts if row[2]]}
        return record


def fail(call: Call) -> None:
    """Fail as the settings ask."""

    def asked(key: str, value: object) -> bool:
        return call.keys.get(f"FAKE.{key}") == str(value)

    if "FAKE.SLEEP" in call.keys:
        print("pid", os.getpid(), flush=True)
        time.sleep(float(call.keys["FAKE.SLEEP"]))
    if asked("DIE", call.seed) or asked("KILL", call.trainer):
        os.kill(os.getpid(), signal.SIGKILL)
    if asked("INTERRUPT", call.seed):
        raise KeyboardInterrupt
    if asked("FAIL", call.seed):
        raise RuntimeError("out of memory\nand more")
    if asked("BAD", call.seed):
        raise InputError("Image x.jpg is corrupt; replace it.")
    if asked("REFUSE", call.trainer):
        raise InputError(f"{call.trainer} does not support this tower; use another.")


_fake = FakeRuns()
load_config, run, task_names = _fake.load_config, _fake.run, _fake.task_names
