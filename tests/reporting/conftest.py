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
