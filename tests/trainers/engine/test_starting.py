"""Training that starts from another run or a classifier, by the names of tasks and classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from classifier import Classifier
from common.catalogue import METHODS
from common.errors import InputError
from common.files import read_json
from common.paths import RESULTS
from tests.support.finished import Finished, finished, place
from tests.support.training import AT_ONCE, SETTINGS, Workplace
from trainers.engine.starting import taken

__all__ = ["finished", "place"]
Trained = Callable[..., Finished]
IN_STEPS = [name for name in METHODS if name not in AT_ONCE and name != "Tip-Adapter-F"]
BEFORE = [("kind", ("rose", "tulip")), ("colour", ("red", "blue", "green"))]
NOW = [("weather", ("dry", "wet")), ("colour", ("blue", "black", "red")), ("kind", ("tulip", "rose"))]


def test_tasks_and_classes_go_by_name() -> None:
    saved = {
        "ctx.0": torch.zeros(4, 2),
        "ctx.1": torch.ones(4, 2),
        "w": torch.full((3,), 7.0),
        "of_tasks": torch.tensor([[1.0], [2.0]]),
        "of_classes": torch.arange(5.0).unsqueeze(1),
        "step": torch.tensor(9),
    }
    wanted = {
        **{f"ctx.{number}": torch.full((4, 2), -1.0) for number in range(3)},
        "w": torch.zeros(3),
        "of_tasks": torch.full((3, 1), -1.0),
        "of_classes": torch.full((7, 1), -1.0),
        "step": torch.tensor(0),
    }
    rows = {"of_tasks": "tasks", "of_classes": "classes"}
    found = taken(saved, wanted, BEFORE, NOW, "tasks", rows, ("step",))
    assert sorted(found.state) == ["ctx.1", "ctx.2", "of_classes", "of_tasks", "w"]
    assert torch.equal(found.state["ctx.1"], saved["ctx.1"]) and torch.equal(found.state["ctx.2"], saved["ctx.0"])
    assert found.state["of_tasks"].flatten().tolist() == [-1, 2, 1]
    assert found.state["of_classes"].flatten().tolist() == [-1, -1, 3, -1, 2, 1, 0]
    line = found.line("there", "the network", BEFORE, NOW)
    assert line == (
        "From there: the network, parameters of 2 tasks, parameters of 4 classes; new: 'weather', 'black' of 'colour'; "
        "not here: 'green' of 'colour'"
    )


def test_parameters_of_a_tasks_classes() -> None:
    """As CoOp-CS and TaskRes have them: a tensor for each task, with a row for each class."""
    saved = {"0": torch.tensor([[1.0], [2.0]]), "1": torch.tensor([[3.0], [4.0], [5.0]])}
    wanted = {"0": torch.zeros(2, 1), "1": torch.zeros(3, 1), "2": torch.zeros(2, 1)}
    found = taken(saved, wanted, BEFORE, NOW, "classes", {})
    assert found.state["1"].flatten().tolist() == [4, 0, 3] and found.state["2"].flatten().tolist() == [2, 1]
    assert "0" not in found.state and not found.tasks and not found.shared


def test_a_number_is_no_task_of_what_all_share() -> None:
    """CoOp-MT's only context is called ctx.0."""
    found = taken({"ctx.0": torch.ones(2, 2)}, {"ctx.0": torch.zeros(2, 2)}, BEFORE, NOW, "nothing", {})
    assert found.shared and torch.equal(found.state["ctx.0"], torch.ones(2, 2))


def test_what_does_not_fit_is_told() -> None:
    ones = torch.ones(2, 2)
    for saved in ({}, {"ctx.0": torch.ones(3, 2), "ctx.1": ones}):
        with pytest.raises(InputError, match=r"ctx\.0"):
            taken(saved, {"ctx.0": ones}, BEFORE, BEFORE[:1], "tasks", {})
    with pytest.raises(InputError, match="shape"):
        taken({"rows": torch.ones(4, 1)}, {"rows": torch.ones(7, 1)}, BEFORE, NOW, "classes", {"rows": "classes"})


def initial(place: Workplace, method: str, *words: str, seed: int = 1) -> tuple[Any, dict[str, Tensor]]:
    trainer = place.trainer(method, *SETTINGS.get(method, ()), *words, seed=seed)
    return trainer, {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("method", IN_STEPS)
def test_every_trained_method_starts_where_another_run_ended(
    finished: Trained, place: Workplace, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same tasks; a method may have parameters that start anew."""
    run = finished(method)
    trainer, state = initial(place, method, "MODEL.FROM", str(run.folder))
    learned = place.learned(run.folder.name, 2)
    fresh = tuple(getattr(trainer.model, "fresh", ()))
    assert state.keys() == learned.keys()
    for name, value in state.items():
        if not name.startswith(fresh) if fresh else True:
            assert torch.equal(value, learned[name].to(value)), name
    assert f"From {run.folder}: " in trainer.started_from and trainer.started_from.endswith("new: nothing")


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "SoftCPT-NATS", "SoftCPT-CSTS", "CoOp-CS", "MaPLe", "TaskRes"])
def test_a_task_is_added(finished: Trained, place: Workplace, method: str) -> None:
    """The task that both have is answered as before training, the other one starts as it does without."""
    run = finished(method, 1, ("DATASET.SUBSAMPLE_TASKS", "task1"))
    trainer, state = initial(place, method, "MODEL.FROM", str(run.folder))
    _, without = initial(place, method)
    assert "new: 'kind of flower'" in trainer.started_from
    weight = trainer.head().weight[-2:].cpu()
    torch.testing.assert_close(weight, run.head.weight.cpu(), rtol=1e-3, atol=1e-4)
    if method in ("CoOp-CS", "TaskRes"):
        name = "ctx.0" if method == "CoOp-CS" else "0"
        assert torch.equal(state[name], without[name])


def test_a_run_that_started_from_another(finished: Trained, place: Workplace) -> None:
    """It is another run than one that starts anew, it resumes as itself, and its results say where it began."""
    run = finished("SoftCPT-NATA", 1, ("DATASET.SUBSAMPLE_TASKS", "task0"))
    words = ("MODEL.FROM", str(run.folder))
    results = place.run("SoftCPT-NATA", "grown", *words, epochs=1)
    assert results["from"] == f"From {run.folder}: the meta network; new: 'colour'"
    assert read_json(place.output / "grown" / RESULTS)["from"] == results["from"]
    assert place.run("SoftCPT-NATA", "grown", *words, epochs=1) == results
    with pytest.raises(InputError, match="MODEL.FROM_DIGEST"):
        place.run("SoftCPT-NATA", "grown", epochs=1)
    other = finished("SoftCPT-NATA", 2)
    with pytest.raises(InputError, match="MODEL.FROM_DIGEST"):
        place.run("SoftCPT-NATA", "grown", "MODEL.FROM", str(other.folder), epochs=1)
    place.killed_run("SoftCPT-NATA", "killed", *words, at=1, epochs=2)
    place.run("SoftCPT-NATA", "killed", *words, epochs=2)
    place.run("SoftCPT-NATA", "whole", *words, epochs=2)
    for name, value in place.learned("whole", 2).items():
        assert torch.equal(value, place.learned("killed", 2)[name])


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "SoftCPT-NATS", "CoOp-CA", "CoOp-MT", "KgCoOp"])
def test_from_a_classifier(finished: Trained, place: Workplace, tmp_path: Path, method: str) -> None:
    """Of several seeds, the one with the run's own."""
    runs = [finished(method, seed) for seed in (1, 2)]
    Classifier.load(*(run.folder for run in runs)).save(tmp_path / "both")
    for seed in (1, 2):
        _, state = initial(place, method, "MODEL.FROM", str(tmp_path / "both"), seed=seed)
        learned = place.learned(runs[seed - 1].folder.name, 2)
        assert all(torch.equal(value, learned[name]) for name, value in state.items())
    with pytest.raises(InputError, match="no seed 3"):
        initial(place, method, "MODEL.FROM", str(tmp_path / "both"), seed=3)


def refused(place: Workplace, method: str, folder: Path, *words: str) -> str:
    with pytest.raises(InputError) as error:
        initial(place, method, "MODEL.FROM", str(folder), *words)
    assert str(error.value).startswith("MODEL.FROM") and "\n" not in str(error.value)
    return str(error.value)


def test_what_training_cannot_start_from(finished: Trained, place: Workplace, tmp_path: Path) -> None:
    run = finished("CoOp-CA")
    assert "TRAINER.NAME" in refused(place, "KgCoOp", run.folder)
    assert "CONTEXT" in refused(place, "CoOp-MT", run.folder)
    assert "gone is neither" in refused(place, "CoOp-CA", tmp_path / "gone")
    assert "not trained in steps" in refused(place, "LP-CLIP", finished("LP-CLIP").folder)
    assert "not trained in steps" in refused(place, "Tip-Adapter-F", finished("Tip-Adapter-F").folder)
    assert "do not go together" in refused(place, "CoOp-CA", run.folder, "MODEL.INIT_WEIGHTS", str(run.folder))
    one = finished("CoOp-CA", 1, ("DATASET.SUBSAMPLE_TASKS", "task0"))
    assert "none of these tasks" in refused(place, "CoOp-CA", one.folder, "DATASET.SUBSAMPLE_TASKS", "task1")
    Classifier.load(run.folder).save(tmp_path / "coop")
    assert "it is of CoOp-CA" in refused(place, "KgCoOp", tmp_path / "coop")
    Classifier.load(finished("MaPLe").folder).save(tmp_path / "maple")
    assert "does not hold all that MaPLe learned" in refused(place, "MaPLe", tmp_path / "maple")


def test_another_tower(finished: Trained, place: Workplace, tmp_path: Path) -> None:
    from tests.support.towers import random_clip

    run, other = finished("CoOp-CA"), tmp_path / "other.pt"
    Classifier.load(run.folder).save(tmp_path / "coop")
    state = random_clip().state_dict()
    torch.save({**state, "text_projection": state["text_projection"] + 1}, other)
    words = ("MODEL.BACKBONE.NAME", str(other))
    assert "MODEL.BACKBONE.DIGEST" in refused(place, "CoOp-CA", run.folder, *words)
    assert "another tower" in refused(place, "CoOp-CA", tmp_path / "coop", *words)
