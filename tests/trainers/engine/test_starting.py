"""Training that starts from another run or a classifier, by the names of tasks and classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from classifier import Classifier
from classifier.bundle import RECORD, UsedTower
from common.catalogue import METHODS
from common.errors import InputError
from common.files import read_json, read_record, write_record
from common.paths import RESULTS
from tests.support.finished import Finished, finished, place
from tests.support.training import AT_ONCE, SETTINGS, Workplace
from trainers.engine.checkpoint_fit import noted_images
from trainers.engine.starting import check_tower, taken

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
    """Of several seeds, the one with the run's own: what it learned, and the images that it was trained on."""
    runs = [finished(method, seed) for seed in (1, 2)]
    Classifier.load(*(run.folder for run in runs)).save(tmp_path / "both")
    images = [list(q.images) for q in Classifier.load(tmp_path / "both").questions if q is not None]
    assert images == [noted_images(run.folder) for run in runs] and images[0] and images[0] != images[1]
    for seed in (1, 2):
        trainer, state = initial(place, method, "MODEL.FROM", str(tmp_path / "both"), seed=seed)
        assert trainer.started_from.endswith("new: nothing")
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


@pytest.mark.parametrize(
    ("method", "key", "value", "message"),
    [
        ("SoftCPT-NATA", "SOFTCPT.FEATURES", "unit", "another features, raw; here it is unit"),
        ("SoftCPT-NATA", "SOFTCPT.N_CTX", "8", "another n_ctx, 16; here it is 8"),
        ("CoOp-CA", "COOP.CLASS_TOKEN_POSITION", "front", "another position, end; here it is front"),
    ],
)
def test_other_settings_are_refused_for_a_run_and_for_its_classifier(
    finished: Trained, place: Workplace, tmp_path: Path, method: str, key: str, value: str, message: str
) -> None:
    """Shapes alone would not tell them apart."""
    run = finished(method)
    Classifier.load(run.folder).save(tmp_path / "saved")
    assert f"TRAINER.{key}" in refused(place, method, run.folder, f"TRAINER.{key}", value)
    assert message in refused(place, method, tmp_path / "saved", f"TRAINER.{key}", value)


def test_what_only_training_reads_may_differ(finished: Trained, place: Workplace, tmp_path: Path) -> None:
    run = finished("KgCoOp")
    Classifier.load(run.folder).save(tmp_path / "saved")
    for folder in (run.folder, tmp_path / "saved"):
        initial(place, "KgCoOp", "MODEL.FROM", str(folder), "TRAINER.KGCOOP.W", "1.0", "TRAINER.KGCOOP.PREC", "fp32")


def test_images_that_are_tested_now(workplace: Workplace, tmp_path: Path) -> None:
    """After images were removed, the split is drawn again: a run is refused, and so is its classifier."""
    workplace.run("CoOp-MT", "run", epochs=1)
    run, saved = workplace.output / "run", tmp_path / "saved"
    workplace.evaluate("run", "CoOp-MT", "tested", epochs=1)
    for folder, copy in ((run, saved), (workplace.output / "tested", tmp_path / "evaluation")):
        Classifier.load(folder).save(copy)
    initial(workplace, "CoOp-MT", "MODEL.FROM", str(saved))
    for name in ("rose", "tulip", "ox-eye_daisy"):
        for path in sorted((workplace.root / "tiny" / "kinds" / name).iterdir())[:3]:
            path.unlink()
    for folder in (run, saved, tmp_path / "evaluation"):
        message = refused(workplace, "CoOp-MT", folder)
        assert "cannot be used: it was trained on " in message and " of this test, such as tiny/kinds" in message
    record = read_record(saved / RECORD)  # as an earlier version left it
    images = record["questions"][0].pop("images")
    assert images == noted_images(run)
    for nonsense in ("rose", [1], None):
        write_record(saved / RECORD, {**record, "questions": [{**record["questions"][0], "images": nonsense}]})
        assert "is damaged or was changed (the hashes of" in refused(workplace, "CoOp-MT", saved)
        with pytest.raises(InputError, match="is damaged or was changed"):
            Classifier.load(saved)
    write_record(saved / RECORD, record)
    trainer, _ = initial(workplace, "CoOp-MT", "MODEL.FROM", str(saved))
    assert "; not checked: whether it was trained on images of this test" in trainer.started_from


def test_another_tower(finished: Trained, place: Workplace, tmp_path: Path) -> None:
    from tests.support.towers import random_clip

    run, other = finished("CoOp-CA"), tmp_path / "other.pt"
    Classifier.load(run.folder).save(tmp_path / "coop")
    state = random_clip().state_dict()
    torch.save({**state, "text_projection": state["text_projection"] + 1}, other)
    words = ("MODEL.BACKBONE.NAME", str(other))
    assert "MODEL.BACKBONE.DIGEST" in refused(place, "CoOp-CA", run.folder, *words)
    assert "another tower" in refused(place, "CoOp-CA", tmp_path / "coop", *words)
    torch.save({**state, "visual.proj": state["visual.proj"] + 1}, other)  # its images' side alone
    assert "another tower" in refused(place, "CoOp-CA", tmp_path / "coop", *words)


def test_towers_are_compared_where_they_can_be() -> None:
    """Weights in another dtype have other digests."""
    tower = UsedTower("RN50", "fp16", "float16", "float16", "image", "text", "QuickGELU", "")
    check_tower(tower, tower)
    check_tower(tower, replace(tower, dtype="float32", image_dtype="float32", image_digest="i", text_digest="t"))
    check_tower(tower, replace(tower, image_dtype="bfloat16", image_digest="i", name="moved.pt"))
    check_tower(replace(tower, text_digest=""), tower)
    for other in (
        replace(tower, image_digest="i"),
        replace(tower, text_digest="t"),
        replace(tower, activation="GELU"),
        replace(tower, image_dtype="bfloat16", image_digest="i", text_digest="t"),
        replace(tower, dtype="float32", image_dtype="float32", name="ViT-B/32"),
    ):
        with pytest.raises(InputError, match="another tower, RN50"):
            check_tower(tower, other)
