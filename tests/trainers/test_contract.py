"""What holds for every method of the catalogue. A method that joins it is tested here at once; only settings that its
defaults need on the tiny tower are listed below."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor

from common import catalogue
from common.catalogue import METHODS, Method
from prompting.losses import within_task
from prompting.text_memory import TextMemory
from runs.config import load_config
from tests.support.training import AT_ONCE, RECIPE, SETTINGS, Workplace, same_state
from trainers.engine.task_trainer import TaskTrainer

EPOCHS = 2
# Differences between bf16 and fp32 in the probability of a class, and in a parameter relative to how far training moves
# it. Measured: up to 0.022 (SoftCPT-CATA); up to 0.15, and 0.34 for one matrix of CLIP-LoRA, which AdamW moves by the
# sign of tiny gradients.
PROBABILITY, LEARNED = 0.05, 0.5


IMAGES_ALONE = {"LP-CLIP", "ProtoNet"}  # they read no text
ROUNDING = {"CLIP-LoRA": 1e-2}  # AdamW moves parameters by the sign of tiny gradients


@dataclass
class Trained:
    """A finished run of a method, with its trainer; the tower's and the learner's state before training."""

    method: Method
    place: Workplace
    words: tuple[str, ...]
    results: dict[str, Any]
    trainer: Any
    tower: dict[str, Tensor]
    start: dict[str, Tensor]

    @property
    def name(self) -> str:
        """The run's folder."""
        return self.method.name


def train(place: Workplace, method: Method, folder: str, *words: str) -> Trained:
    """Train a method in a folder."""
    built: dict[str, Any] = {}
    build_model = TaskTrainer.build_model

    def watched(self: TaskTrainer) -> None:
        build_model(self)
        built["trainer"] = self
        built["tower"], built["start"] = (copy.deepcopy(part.state_dict()) for part in (self.tower, self.model))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskTrainer, "build_model", watched)
        results = place.run(method.name, folder, *words, epochs=EPOCHS)
    return Trained(method, place, words, results, **built)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("contract"), checkpoint)
    place.give_classes_colours()
    return place


@pytest.fixture(scope="module", params=list(METHODS))
def trained(request: pytest.FixtureRequest, place: Workplace) -> Iterator[Trained]:
    """A run of every method, shared by all checks."""
    method = METHODS[request.param]
    yield train(place, method, method.name, *SETTINGS.get(method.name, ()))


def test_training_moves_the_learner_alone(trained: Trained) -> None:
    """The towers stay bit-identical."""
    assert same_state(trained.trainer.tower.state_dict(), trained.tower)
    assert not any(p.requires_grad or p.grad is not None for p in trained.trainer.tower.parameters())
    end = trained.trainer.model.state_dict()
    for name, parameter in trained.trainer.model.named_parameters():
        assert parameter.requires_grad and not torch.equal(end[name], trained.start[name]), name
    with_residual = catalogue.RESIDUAL in trained.method.keys
    assert with_residual == (trained.trainer.residual is not None)
    assert same_state(end, trained.start) == (not trained.method.learns or trained.name == "Residual")


def test_a_killed_run_resumes_to_the_very_same_result(trained: Trained) -> None:
    by_epochs = {path.name for path in (trained.place.output / trained.name).glob(f"*/model.pth.tar-{EPOCHS}")}
    assert bool(by_epochs) == (trained.method.name not in AT_ONCE)
    if not by_epochs:
        pytest.skip("not trained by epochs")
    call = (trained.method.name, f"{trained.name}-parts", *trained.words)
    trained.place.resumed_equals(trained.results, trained.name, *call, at=1, epochs=EPOCHS)


def test_prompts_in_parts_train_the_same_learner(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory is short. Sums of gradients are only rounded differently."""
    parts: list[int] = []
    monkeypatch.setattr("prompting.text_encoder.SMALL", 0)
    monkeypatch.setattr(TextMemory, "tokens", lambda *_: 25)
    monkeypatch.setattr(TextMemory, "report", lambda _, tokens, n: parts.append(n))
    words = (*trained.words, *(("TRAINER.CLIPLORA.DROPOUT", "0.0") if trained.name == "CLIP-LoRA" else ()))
    split = train(trained.place, trained.method, f"{trained.name}-split", *words)
    assert all(n > 1 for n in parts) and bool(parts) == (trained.name not in IMAGES_ALONE)
    whole = trained
    if trained.name == "CLIP-LoRA":  # dropout is drawn for each part
        monkeypatch.undo()
        whole = train(trained.place, trained.method, f"{trained.name}-whole", *words)
    accuracies = [[task["accuracy"] for task in t.results["tasks"]] for t in (split, whole)]
    assert trained.method.learns or accuracies[0] == accuracies[1]
    end = whole.trainer.model.state_dict()
    for name, parameter in split.trainer.model.named_parameters():
        moved = (end[name] - trained.start[name]).norm()
        assert (parameter - end[name]).norm() <= ROUNDING.get(trained.name, 1e-4) * moved, name


def test_a_trained_run_predicts_what_it_tested(trained: Trained) -> None:
    of = trained.name if trained.method.learns else ""
    call = (of, trained.method.name, f"{trained.name}-tested", *trained.words)
    tested = trained.place.evaluate(*call, epochs=EPOCHS)
    assert tested["tasks"] == trained.results["tasks"]
    assert tested["checkpoint"] == trained.results["checkpoint"] and bool(tested["checkpoint"]) == bool(of)


def test_settings_and_catalogue_agree(trained: Trained) -> None:
    """Under the entry's keys the trainer is that method; under the defaults it is one of the trainer's methods."""
    method, kind = trained.method, TRAINER_REGISTRY.get(trained.method.trainer)
    assert trained.results["method"] == method.name
    overrides = [*method.keys, ("MODEL.BACKBONE.NAME", str(trained.place.checkpoint))]
    cfg = load_config(trained.place.declaration, method.trainer, overrides, RECIPE)
    assert kind.method(cfg) is method and kind.label(cfg) == method.name
    default = load_config(trained.place.declaration, method.trainer, overrides[len(method.keys) :], RECIPE)
    assert kind.method(default) is next(m for m in METHODS.values() if m.trainer == method.trainer)


def test_parameters_belong_to_what_the_catalogue_says(trained: Trained) -> None:
    """What is tied to tasks has a shape for each of them, and what is tied to classes for each of these."""

    def shapes(trainer: Any) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in trainer.model.state_dict().items()}

    def built(key: str, value: str) -> Any:
        return trained.place.trainer(trained.method.name, *trained.words, key, value)

    everything = shapes(trained.trainer)
    one_task = shapes(built("DATASET.SUBSAMPLE_TASKS", "task0"))
    fewer_classes = shapes(built("DATASET.SUBSAMPLE_CLASSES", "base"))
    assert (everything != one_task) == (trained.method.tied_to in ("tasks", "classes"))
    assert (everything != fewer_classes) == (trained.method.tied_to == "classes")
    assert bool(trained.method.ties) == (trained.method.tied_to != "nothing")


@torch.no_grad()
def probabilities(trainer: Any) -> Tensor:
    """(test images, classes), 0 outside an image's task."""
    trainer.set_model_mode("eval")
    classify, rows = trainer.classifier(), []
    for images, label in trainer.test_batches(trainer.test_loader):
        task = trainer.task_of_class[label]
        rows.append(within_task(classify(images, task), task, trainer.task_of_class).float().softmax(1))
    return torch.cat(rows)


def predictions(results: dict[str, Any]) -> Counter[tuple[str, int, int]]:
    """How many test images of a class are predicted as which."""
    rows = ((task["name"], *entry) for task in results["tasks"] for entry in task["confusion"])
    return Counter({(task, true, predicted): count for task, true, predicted, count in rows})


def test_bfloat16_is_as_good_as_float32(trained: Trained) -> None:
    """A run in bf16 learns the same, its probabilities of classes are the same, and its predictions differ only for
    images of which two classes are about equally probable."""
    section = TRAINER_REGISTRY.get(trained.method.trainer).section
    words = (*trained.words, f"TRAINER.{section}.PREC", "bf16")
    half = train(trained.place, trained.method, f"{trained.name}-bf16", *words)
    assert (trained.trainer.tower.dtype, half.trainer.tower.dtype) == (torch.float32, torch.bfloat16)

    expected, got = probabilities(trained.trainer), probabilities(half.trainer)
    error = (got - expected).abs().max()
    assert error < PROBABILITY
    best, second = expected.topk(2).values.t()
    near_ties = int((best - second < 2 * error).sum())
    changed = (predictions(trained.results) - predictions(half.results)).total()
    assert changed <= near_ties

    end = trained.trainer.model.state_dict()
    for name, parameter in half.trainer.model.named_parameters():
        moved = end[name] - trained.start[name]
        assert (parameter - half.start[name] - moved).norm() < LEARNED * moved.norm(), name
