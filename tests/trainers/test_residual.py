"""A residual on top of templates and of prompts: who may carry it, what it leaves, and what becomes of new classes."""

import time

import pytest
import torch
from dassl.engine import TRAINER_REGISTRY

from classifier.classifier import Classifier
from common import catalogue
from common.catalogue import METHODS
from common.errors import InputError
from prompting.losses import unit
from prompting.residual import Shots, fit_residuals
from tests.support.training import SETTINGS, Workplace
from trainers.engine.image_trainer import split_features
from trainers.engine.prompt_trainer import PromptTrainer
from trainers.engine.residuals import LEARNED, weight_of_text
from trainers.residual import Residual

RESIDUAL = ("RESIDUAL.FIT", "True")
BASE, NEW = (("DATASET.SUBSAMPLE_CLASSES", half) for half in ("base", "new"))


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    workplace.give_classes_colours()
    return workplace


def weights(place: Workplace, folder: str):
    return Classifier.load(place.output / folder).heads[0].weight


@pytest.mark.parametrize("name", METHODS)
def test_the_catalogue_knows_which_prompts_can_carry_a_residual(name, place):
    method = METHODS[name]
    cfg = place.config(name, "run", *SETTINGS.get(name, ()))
    assert TRAINER_REGISTRY.get(method.trainer).carries_residual(cfg) == (method.residual or name == "Residual")


@pytest.mark.parametrize("name", ["PLOT", "LP-CLIP", "MaPLe", "ZeroshotCLIP"])
def test_other_methods_refuse_it_before_they_train(name, place):
    with pytest.raises(InputError, match=r"does not compare images with a feature of each class.*omit RESIDUAL\.FIT"):
        place.run(name, "run", *SETTINGS.get(name, ()), *RESIDUAL)


def test_weights_come_from_the_shots_alone(place, monkeypatch):
    """As `fit_residuals` gives them, and no validation image is asked for."""
    trainer = place.trainer("Residual")
    trainer.open_images()
    x, y = split_features(trainer, "train")
    asked = []
    monkeypatch.setattr("trainers.engine.image_trainer.split_features", lambda _, split: asked.append(split) or (x, y))
    trainer.fit()
    assert asked == ["train"]
    templates, layout = trainer.handwritten_features, trainer.layout
    tasks = []
    for index in range(len(layout)):
        classes = layout.classes_of(index)
        mine = (y >= classes.start) & (y < classes.stop)
        tasks.append(Shots(x[mine], y[mine] - classes.start, templates[classes.start : classes.stop]))
    scale = trainer.tower.logit_scale
    found = fit_residuals(tasks, [task.templates for task in tasks], scale, weight_of_text(tasks, scale))
    torch.testing.assert_close(trainer.residual.weight, torch.cat([one.weight for one in found]).float())
    assert trainer.residual.weight.numel() == layout.n_classes * templates.shape[1]


def test_prompts_with_a_residual_train_as_without(place):
    """It is fitted when training has ended, to the mean of template and prompt; its parameters are counted."""
    plain, both = place.run("CoOp-CA", "plain"), place.run("CoOp-CA", "both", *RESIDUAL)
    state, other = place.learned("plain", 3), place.learned("both", 3)
    assert all(torch.equal(value, other[name]) for name, value in state.items())
    trainer = place.trainer("CoOp-CA")
    templates = trainer.handwritten_features
    counts = [results["counts"]["trainable_parameters"] for results in (plain, both)]
    assert counts[1] - counts[0] == templates.numel()
    learned, carried = weights(place, "plain"), weights(place, "both")
    features = unit(templates + LEARNED * learned)
    layout = trainer.layout
    for index in range(len(layout)):
        rows = layout.classes_of(index)
        rest = (
            carried[rows.start : rows.stop]
            - features[rows.start : rows.stop] * both["residual"]["tasks"][index]["alpha"]
        )
        assert rest.norm() > 1e-3
        assert rest.sum(0).norm() < 1e-3 * rest.norm()  # softmax does not see what all classes have in common


@pytest.mark.parametrize("method", ["Residual", "SoftCPT-R"])
def test_new_classes_fall_back_to_the_text(method, place):
    plain = "ZeroshotCLIP" if method == "Residual" else "SoftCPT-NATA"
    text = place.run(method, "base", *BASE)["residual"]["alpha_0"]
    if plain == "SoftCPT-NATA":
        place.run(plain, "plain", *BASE)
    place.evaluate("base", method, "same", *BASE)
    assert torch.equal(weights(place, "same"), weights(place, "base"))
    place.evaluate("base", method, "new", *NEW)
    place.evaluate("plain" if plain == "SoftCPT-NATA" else "", plain, "text", *NEW)
    torch.testing.assert_close(weights(place, "new"), text * weights(place, "text"))
    place.evaluate("base", method, "all")  # a task with a class that is new is a new question
    place.evaluate("plain" if plain == "SoftCPT-NATA" else "", plain, "text of all")
    torch.testing.assert_close(weights(place, "all"), text * weights(place, "text of all"))


def test_what_cannot_be_evaluated_is_refused(place):
    place.run("SoftCPT-NATA", "plain")
    with pytest.raises(InputError, match=r"was trained without a residual; evaluate it with RESIDUAL\.FIT False"):
        place.evaluate("plain", "SoftCPT-R", "tested")
    place.run("SoftCPT-R", "run")
    with pytest.raises(InputError, match="omit --load-epoch"):
        place.evaluate("run", "SoftCPT-R", "tested too", epoch=3)
    with pytest.raises(InputError, match="--eval-only needs --model-dir"):
        place.evaluate("", "Residual", "tested as well")


def test_a_run_without_a_test_would_lose_it(place):
    with pytest.raises(InputError, match="kept in its classifier; omit TEST.NO_TEST"):
        place.run("Residual", "run", "TEST.NO_TEST", "True")


def test_its_seconds_are_counted_once(place, monkeypatch):
    fit = Residual.fit_residual

    def slow(self, head=None):
        time.sleep(1.0)
        fit(self, head)

    monkeypatch.setattr("trainers.engine.task_trainer.TaskTrainer.fit_residual", slow)
    seconds = place.run("CoOp-CA", "run", *RESIDUAL)["seconds"]
    assert seconds["train"] > 1 and seconds["test"] < 1 and seconds["train"] + seconds["test"] < seconds["total"]


def test_it_is_fitted_once_to_the_best_model(place, monkeypatch):
    fit, fitted = Residual.fit_residual, []

    def noted(self, head=None):
        fitted.append(head.weight.clone())
        fit(self, head)

    monkeypatch.setattr("trainers.engine.task_trainer.TaskTrainer.fit_residual", noted)
    best = ("TEST.FINAL_MODEL", "best_val")
    place.run("CoOp-CA", "both", *RESIDUAL, *best)
    place.run("CoOp-CA", "plain", *best)
    assert len(fitted) == 1
    assert torch.equal(fitted[0], weights(place, "plain"))


def test_the_text_is_encoded_once_for_it(place, monkeypatch):
    head, calls = PromptTrainer.head, []
    monkeypatch.setattr(PromptTrainer, "head", lambda self: calls.append(1) or head(self))
    place.run("CoOp-CA", "run", *RESIDUAL)
    assert len(calls) == 1


def test_methods_without_a_residual_ignore_its_cost(place):
    """In a comparison, or a choice by train.sh, a setting is given to all methods."""
    plain, given = place.run("LP-CLIP", "plain"), place.run("LP-CLIP", "given", "RESIDUAL.C", "3.0")
    assert plain["tasks"] == given["tasks"]


def test_a_given_cost_is_not_searched_for(place, monkeypatch):
    monkeypatch.setattr("prompting.residual.choose", lambda *_: pytest.fail("it was searched for"))
    place.run("Residual", "run", "RESIDUAL.C", "3.0")
    assert "C 3, not cross-validated" in (place.output / "run" / "log.txt").read_text()


def test_the_entry_with_a_residual():
    assert catalogue.with_residual(METHODS["SoftCPT-NATA"]).name == "SoftCPT-R"
    assert catalogue.with_residual(METHODS["SoftCPT-R"]).name == "SoftCPT-R"
    assert catalogue.with_residual(METHODS["CoOp-CA"]).name == "CoOp-CA"
