"""Run folders as train.py leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pytest

from common.paths import RESULTS


class MakeRun(Protocol):
    """Writes a run folder and returns its path; ``changes`` overwrite fields of results.json."""

    def __call__(
        self,
        accuracies: list[float],
        method: str = ...,
        shots: int = ...,
        seed: int = ...,
        names: list[str] | None = ...,
        metrics: list[str] | None = ...,
        **changes: Any,
    ) -> Path: ...


class MakeFullRun(Protocol):
    """The same, with all optional fields; ``classes`` per task."""

    def __call__(self, accuracies: list[float], *args: Any, classes: int = ..., **kwargs: Any) -> Path: ...


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """make_run(accuracies, method=..., shots=..., seed=..., ...) writes a run folder and returns its path."""

    def make(
        accuracies: list[float],
        method: str = "SoftCPT-NATA",
        shots: int = 4,
        seed: int = 1,
        names: list[str] | None = None,
        metrics: list[str] | None = None,
        **changes: Any,
    ) -> Path:
        names = names or [f"task {i}" for i in range(len(accuracies))]
        metrics = metrics or ["A"] * len(accuracies)
        folder = tmp_path / "garden8" / method / "tiny" / f"{shots}shots" / f"seed{seed}"
        folder.mkdir(parents=True)
        record = {
            "finished": True, "method": method, "trainer": "any", "dataset": "garden8", "config": "tiny",
            "backbone": "ViT", "shots": shots, "seed": seed, "mean": 0.0,
            "tasks": [
                {"name": n, "metric": m, "accuracy": a} for n, m, a in zip(names, metrics, accuracies, strict=True)
            ],
            "checkpoint": f"{seed}", "counts": {"trainable_parameters": 8390656},
            "seconds": {"train": 10.0, "test": 2.0, "total": 12.5},
        }  # fmt: skip
        (folder / RESULTS).write_text(json.dumps(record | changes), "utf-8")
        return folder

    return make


@pytest.fixture
def make_full_run(make_run: MakeRun) -> MakeFullRun:
    """make_full_run(accuracies, classes=..., ...) writes a run with all optional fields."""

    def make(accuracies: list[float], *args: Any, classes: int = 3, **kwargs: Any) -> Path:
        folder = make_run(accuracies, *args, **kwargs)
        record = json.loads((folder / RESULTS).read_text("utf-8"))
        for task in record["tasks"]:
            correct = [[c, c, 6 + c % 3] for c in range(classes)]
            wrong = [[c, (c + 1) % classes, 2] for c in range(classes) if classes > 1]
            task |= {
                "classes": classes,
                "classnames": [f"class {c}" for c in range(classes)],
                "confusion": correct + wrong,
                "examples": [
                    {"image": f"{task['name']}/{c}.jpg", "true": c, "predicted": (c + 1) % classes, "confidence": 0.75}
                    for c in range(classes if classes > 1 else 0)
                ],
            }
        count = len(record["tasks"])
        cosines = [[1.0 if i == j else 0.5 + (i + j) % 5 / 10 for j in range(count)] for i in range(count)]
        record |= {
            "command": ["--seed", str(record["seed"]), "--root", "my data"],
            "versions": {"python": "3.12.1", "torch": "2.4.0"},
            "contexts": {
                "task_similarity": {"task features": cosines, "contexts": cosines},
                "words": [
                    {"of": task["name"], "nearest": [[["petal", 0.5], ["</w>", 0.7]]]} for task in record["tasks"]
                ],
            },
        }
        (folder / RESULTS).write_text(json.dumps(record), "utf-8")
        return folder

    return make
