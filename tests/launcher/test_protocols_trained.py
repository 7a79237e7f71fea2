"""base_to_new and new_tasks from end to end: real runs on the small collection with the tiny tower."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.catalogue import METHODS
from common.paths import REPOSITORY
from launcher import protocols
from launcher.main import main
from launcher.plan import Job, method_plan
from runs.config import load_config
from tests.support.launching import rows_of
from tests.support.training import Workplace, workplace
from train import overrides_of, parse_args

__all__ = ["workplace"]
PARTS = ("base", "new")
# Depths that the two blocks of the tiny tower have.
DEPTHS = {
    "MaPLe": ("TRAINER.MAPLE.PROMPT_DEPTH", "2"),
    "PromptSRC": ("TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT", "2", "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION", "2"),
}


class Real:
    """real(command, method, ...) calls a command with two shots of the small collection."""

    def __init__(self, place: Workplace, config: Path):
        self.place, self.config = place, config

    def words(self, *words: object) -> list[str]:
        """The arguments after a method."""
        fixed = ["--cfg", self.config, "--data", self.place.root, "--output", self.place.output]
        return [str(word) for word in (self.place.declaration, "2", *words, *fixed)]

    def __call__(self, command: str, method: str, *words: object) -> int:
        return main([command, method, *self.words(*words)])


@pytest.fixture
def real(tmp_path: Path, workplace: Workplace) -> Real:
    config = tmp_path / "own.yaml"
    config.write_text(
        f"_BASE_: {REPOSITORY}/configs/trainers/_ep50.yaml\nMODEL:\n  BACKBONE:\n    NAME: {workplace.checkpoint}\n"
        "INPUT:\n  SIZE: (32, 32)\nDATALOADER:\n  NUM_WORKERS: 0\n  TRAIN_X:\n    BATCH_SIZE: 4\n"
        "OPTIM:\n  MAX_EPOCH: 2\n"
    )
    return Real(workplace, config)


def test_base_to_new(real: Real, capsys: pytest.CaptureFixture[str]) -> None:
    assert real("base_to_new", "coop", "--seeds", "1") == 0
    rows = rows_of(capsys.readouterr().out)
    trained = real.place.output / "tiny/CoOp-CA/own+DATASET.SUBSAMPLE_CLASSES=base/2shots/seed1"
    first = json.loads((trained / "results.json").read_text())
    tested = trained / "tested/tiny+DATASET.SUBSAMPLE_CLASSES=new"
    second = json.loads((tested / "evaluation.json").read_text())
    assert [task["classes"] for task in first["tasks"]] == [2, 1]
    assert [task["classes"] for task in second["tasks"]] == [1, 1]
    assert second["checkpoint"] == first["checkpoint"] and len(first["checkpoint"]) == 16
    assert not (tested / "results.json").exists()
    base, new = (f"{record['tasks'][0]['accuracy']:.1f}" for record in (first, second))
    assert rows["kind of flower"][:5] == ["overall", "50.0", "100.0", base, new]  # chance first
    stamps = [path.stat().st_mtime_ns for path in (trained / "results.json", tested / "evaluation.json")]
    assert real("base_to_new", "coop", "--seeds", "1") == 0
    assert "2 of 2 runs are finished already" in capsys.readouterr().out
    assert stamps == [path.stat().st_mtime_ns for path in (trained / "results.json", tested / "evaluation.json")]


def test_new_tasks(real: Real, capsys: pytest.CaptureFixture[str]) -> None:
    assert real("new_tasks", "softcpt", "--seeds", "1", "--variant", "CATA") == 0
    rows = rows_of(capsys.readouterr().out)
    assert list(rows) == ["task", "kind of flower", "colour", "mean"]
    folders = real.place.output / "tiny/SoftCPT-CATA"
    held = {
        part: json.loads(next(folders.glob(f"*={train}+*/2shots/seed1/tested/*={part}/evaluation.json")).read_text())
        for part, train in zip(PARTS, reversed(PARTS), strict=True)
    }
    zero_shot = json.loads((real.place.output / "tiny/ZeroshotCLIP/own/0shots/seed1/results.json").read_text())
    for task, part in zip(zero_shot["tasks"], PARTS, strict=True):
        (mine,) = held[part]["tasks"]
        assert (mine["name"], mine["total"]) == (task["name"], task["total"])
        assert rows[task["name"]][1:3] == [f"{mine['accuracy']:.1f}", f"{task['accuracy']:.1f}"]
    # On another collection, of a single task, with the parameters of a run on all tasks.
    other = real.place.declaration.with_name("other.yaml")
    other.write_text("folder: tiny\ntasks:\n  - name: hue\n    folder: colours\n")
    assert real("new_tasks", "softcpt", "--seeds", "1", "--test", other) == 0
    assert rows_of(capsys.readouterr().out)["hue"][0] == "overall"
    assert real("new_tasks", "softcpt", "--hold-out", "hue") == 2
    assert "--hold-out: task 'hue' is unknown" in capsys.readouterr().err


def test_a_task_of_one_class_is_refused_before_training(real: Real, capsys: pytest.CaptureFixture[str]) -> None:
    (real.place.root / "tiny/colours/blue").rename(real.place.root / "tiny/kinds/blue")
    assert real("base_to_new", "softcpt", "--seeds", "1") == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and "task 'colour' has a single class" in error.splitlines()[-1]
    assert not list(real.place.output.rglob("results.json"))


# -- the plan and the trainers agree --


def jobs_of(real: Real) -> list[Job]:
    """A run of each method, and the trainings and evaluations of the protocols."""
    words = [*real.words("--seeds", "1"), "--", "OPTIM.LR", "0.1"]
    jobs = [method_plan(method.command, words, method).jobs[0] for method in METHODS.values()]
    jobs += protocols.make_plan("base_to_new", ["softcpt", *words], None).jobs
    return [*jobs, *protocols.make_plan("new_tasks", ["softcpt", *words], lambda *_: ["kind of flower", "colour"]).jobs]


def test_the_recorded_command_asks_for_the_same_settings(real: Real) -> None:
    jobs = jobs_of(real)
    assert len([job for job in jobs if job.of is not None]) == 3
    for job in jobs:
        planned = load_config(job.dataset_file, job.method, job.overrides(), job.config)
        args = parse_args(job.command())
        typed = load_config(args.dataset_config_file, args.trainer, overrides_of(args), args.config_file)
        assert typed.dump() == planned.dump(), job
        assert (args.eval_only, args.model_dir) == (job.of is not None, str(job.of.folder) if job.of else "")


def shapes(trainer: object) -> dict[str, tuple[int, ...]]:
    """The shapes in a checkpoint of the trainer's learner."""
    model = trainer.model  # type: ignore[attr-defined]  # a Dassl trainer, which is untyped
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.learns])
def test_parameters_are_tied_to_what_the_catalogue_says(name: str, workplace: Workplace) -> None:
    """The protocols go by it: parameters tied to classes change with their number, those tied to tasks with theirs."""
    depth, tied_to = DEPTHS.get(name, ()), METHODS[name].tied_to
    whole = shapes(workplace.trainer(name, *depth))
    fewer_classes = shapes(workplace.trainer(name, "DATASET.SUBSAMPLE_CLASSES", "base", *depth))
    fewer_tasks = shapes(workplace.trainer(name, "DATASET.SUBSAMPLE_TASKS", "base", *depth))
    assert (whole != fewer_classes) == (tied_to == "classes")
    assert (whole != fewer_tasks) == (tied_to != "nothing")
