"""Prepared run folders, as train.py leaves them."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def make_run(tmp_path):
    """make_run(accuracies, method=..., shots=..., seed=..., ...) writes a run folder and returns its path."""

    def make(accuracies, method="SoftCPT-NATA", shots=4, seed=1, names=None, metrics=None, **changes) -> Path:
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
        (folder / "results.json").write_text(json.dumps(record | changes), "utf-8")
        return folder

    return make


@pytest.fixture
def make_full_run(make_run):
    """make_full_run(accuracies, classes=..., ...) writes a run that has all that is optional, too."""

    def make(accuracies, *more, classes=3, **named) -> Path:
        folder = make_run(accuracies, *more, **named)
        record = json.loads((folder / "results.json").read_text("utf-8"))
        for task in record["tasks"]:
            right = [[c, c, 6 + c % 3] for c in range(classes)]
            wrong = [[c, (c + 1) % classes, 2] for c in range(classes) if classes > 1]
            task |= {
                "classes": classes,
                "classnames": [f"class {c}" for c in range(classes)],
                "confusion": right + wrong,
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
        (folder / "results.json").write_text(json.dumps(record), "utf-8")
        return folder

    return make
