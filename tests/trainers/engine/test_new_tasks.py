"""The weight of prompts for new tasks, measured on tasks that are held out of training."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from classifier import Classifier
from classifier.heads import LinearHead
from classifier.questions import MetaQuestions
from common.errors import InputError
from prompting.losses import unit
from prompting.photographs import read_image
from prompting.templates import blended, template_features
from tests.support.images import write_images
from tests.support.training import Workplace, same_state
from trainers.engine.new_tasks import WEIGHTS, Part, chosen, measure, scores, trained_on
from trainers.softcpt import SoftCPT

FOLDS = "TRAINER.SOFTCPT.NEW_TASK_FOLDS"
THIRD = """  - name: size
    folder: sizes
    template: "a {} thing."
"""


def writer_of(asked: Classifier) -> MetaQuestions:
    (writer,) = asked.questions
    assert isinstance(writer, MetaQuestions)
    return writer


def features_of(asked: Classifier) -> Tensor:
    """The class features of all tasks."""
    (head,) = asked.heads
    assert isinstance(head, LinearHead)
    return head.weight


@pytest.fixture
def three(workplace: Workplace) -> Workplace:
    """The small collection with a third task."""
    for k, name in enumerate(("small", "large")):
        write_images(workplace.root / "tiny" / "sizes" / name, 10, seed=30 + k)
    workplace.declaration.write_text(workplace.declaration.read_text() + THIRD)
    return workplace


@pytest.mark.parametrize("words", [(), ("BANK.TRAIN", "False")])
@pytest.mark.parametrize("variant", ["NATA", "CATA"])
def test_a_fold_is_trained_as_a_run_on_its_tasks_alone(
    three: Workplace, monkeypatch: pytest.MonkeyPatch, variant: str, words: tuple[str, ...]
) -> None:
    """The tasks that are held out leave no trace: not in batches, names, statistics of features or random draws."""
    more = (*words, "TRAINER.SOFTCPT.FEATURES", "standard", "TEST.NO_TEST", "True")
    trainer, starts = three.trainer(f"SoftCPT-{variant}", *more), []
    before = copy.deepcopy(trainer.model.state_dict())
    build = SoftCPT.build_model

    def noted(self: SoftCPT) -> None:
        build(self)
        starts.append(copy.deepcopy(self.model.state_dict()))

    monkeypatch.setattr(SoftCPT, "build_model", noted)
    images = trainer.dm.train_loader_x.dataset
    views = None if words else trainer.features.views(images, range(3), trainer.watch.encoding)
    part = trained_on(trainer, [0, 2], views)
    assert same_state(trainer.model.state_dict(), before) and len(trainer.layout) == 3
    monkeypatch.undo()
    alone = three.trainer(f"SoftCPT-{variant}", "DATASET.SUBSAMPLE_TASKS", "task0+task2", *more)
    alone.model.load_state_dict(starts[0])
    alone.train()
    assert not same_state(part.model.state_dict(), starts[0])
    assert same_state(part.model.state_dict(), alone.model.state_dict())


def test_scores_from_first_principles(three: Workplace) -> None:
    trainer = three.trainer("SoftCPT-NATA")
    part = trained_on(trainer, [0, 1])
    (found,) = scores(trainer, part, [2]).values()
    task = trainer.layout.tasks[2]
    assert found["name"] == task.name == "size"
    questions = part.questions()
    assert questions is not None
    own = questions.features(trainer.tower.text, task).double()
    template = trainer.handwritten_features[5:].double()
    items = [item for item in trainer.dm.dataset.train_x if item.domain == 2]
    assert len(items) == 4
    right = [0] * len(WEIGHTS)
    for item in items:
        view = trainer.test_loader.dataset.transform(read_image(item.impath))
        feature = trainer.tower.encode_image(view[None], normalize=True)[0].double()
        for place, weight in enumerate(WEIGHTS):
            mixed = (1 - weight) * template + weight * own
            cosines = mixed @ feature / mixed.norm(dim=1)
            right[place] += int(cosines.argmax()) == item.label - 5
    assert found["accuracy"] == [25 * count for count in right]


def test_a_weight_is_chosen_only_above_the_noise() -> None:
    steps = torch.tensor(WEIGHTS)
    even = torch.stack([steps, steps, steps])  # every task gains the same: no noise
    assert chosen(even) == 1
    assert chosen(-even) == 0
    # Gains of 2, 1 and 0 at weight 1: mean 1, standard error 1 / sqrt(3), and Student's 2.92 times that is 1.69.
    assert chosen(torch.stack([2 * steps, steps, 0 * steps])) == 0
    # Gains of 4, 3 and 2: mean 3.
    assert chosen(torch.stack([4 * steps, 3 * steps, 2 * steps])) == 1
    # Eight tasks of mean 1: their standard error is sqrt(4 / 7 / 8), and 1.895 times that is 0.51.
    assert chosen(torch.stack([2 * steps, 2 * steps, steps, steps, steps, steps, 0 * steps, 0 * steps])) == 1
    # The best lower bound lies inside: the mean peaks at 0.5 and all tasks agree.
    assert chosen(torch.stack([steps - steps.square()] * 4)) == 0.5
    assert chosen(even[:2]) == 0, "two tasks tell no noise"
    assert chosen(torch.zeros(5, len(WEIGHTS))) == 0


def test_a_part_has_the_images_of_its_tasks(three: Workplace) -> None:
    trainer = three.trainer("SoftCPT-NATA")
    images = trainer.dm.train_loader_x.dataset
    part = Part(images, trainer.layout, [0, 2])
    assert len(part) == 2 * (3 + 2)
    labels = [part[number]["label"] for number in range(len(part))]
    names = [part[number]["impath"].split("/")[-2] for number in range(len(part))]
    assert sorted(set(labels)) == [0, 1, 2, 3, 4] and {n for n, k in zip(names, labels, strict=True) if k > 2} == {
        "small",
        "large",
    }
    part.epoch = 7
    assert images.epoch == part.epoch == 7


def test_a_measured_run_and_its_tests_of_new_tasks(three: Workplace) -> None:
    """Trained tasks are as without measuring, and what is left is used for new ones alone, by tests and bundles."""
    plain = three.run("SoftCPT-NATA", "plain", "DATASET.SUBSAMPLE_TASKS", "task0+task1+task2")
    run = three.run("SoftCPT-NATA", "measured", "DATASET.SUBSAMPLE_TASKS", "task0+task1+task2", FOLDS, "3")
    assert "new_tasks" not in plain
    measured = run.pop("new_tasks")
    assert measured["folds"] == 3 and [task["name"] for task in measured["tasks"]] == [
        "kind of flower",
        "colour",
        "size",
    ]
    assert run["tasks"] == plain["tasks"] and same_state(three.learned("measured", 3), three.learned("plain", 3))
    assert measured["weight"] == chosen(torch.tensor([task["accuracy"] for task in measured["tasks"]]))
    asked = Classifier.load(three.output / "measured")
    writer = writer_of(asked)
    assert writer.known == ("kind of flower", "colour", "size") and writer.weight == measured["weight"]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_new_tasks_are_blended_and_trained_ones_are_not(three: Workplace, monkeypatch, weight: float) -> None:
    monkeypatch.setattr("trainers.engine.new_tasks.chosen", lambda accuracies: weight)
    monkeypatch.setattr("trainers.engine.new_tasks.LEAST_TASKS", 2)
    words = ("DATASET.SUBSAMPLE_TASKS", "task0+task1", FOLDS, "2")
    three.run("SoftCPT-NATA", "run", *words)
    tested = three.evaluate("run", "SoftCPT-NATA", "tested", "DATASET.SUBSAMPLE_TASKS", "task1+task2")
    assert tested["new_tasks"] == {"weight": weight}
    asked = Classifier.load(three.output / "tested")
    bare = Classifier.load(three.output / "run")
    found, text = features_of(asked), bare._text()
    torch.testing.assert_close(found[:2], features_of(bare)[3:], rtol=1e-4, atol=1e-5)
    task = asked.tasks[1]
    writer = writer_of(bare)
    template, own = template_features(text, asked.layout)[2:], writer.own_features(text, task)
    torch.testing.assert_close(found[2:], blended(template, own, weight), rtol=1e-4, atol=1e-5)
    bare.add_task(task.name, task.classnames, task.template)
    torch.testing.assert_close(features_of(bare)[5:], found[2:], rtol=1e-4, atol=1e-5)
    assert bare.remark("colour") == "" and f"weight {weight:g}, the template's the rest" in bare.remark("size")
    bare.save(three.output / "saved")
    again = Classifier.load(three.output / "saved")
    assert writer_of(again).weight == weight and again.remark("size") == bare.remark("size")


def test_a_run_that_did_not_measure_says_so(three: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    three.run("SoftCPT-NATA", "run", "DATASET.SUBSAMPLE_TASKS", "task0")
    three.evaluate("run", "SoftCPT-NATA", "tested", "DATASET.SUBSAMPLE_TASKS", "task2")
    assert "was not trained on 'size'" in (err := capsys.readouterr().err) and f"{FOLDS} 3 measures it" in err
    assert "was not measured" in Classifier.load(three.output / "run").remark("kind of herb")


def test_measuring_goes_on_after_a_kill(three: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs again from its beginning, to the same figures; the epochs are not trained again."""
    whole = three.run("SoftCPT-NATA", "whole", FOLDS, "2")
    with monkeypatch.context() as patch:
        patch.setattr("trainers.engine.new_tasks.scores", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            three.run("SoftCPT-NATA", "killed", FOLDS, "2")
    resumed = three.run("SoftCPT-NATA", "killed", FOLDS, "2")
    assert resumed["resumed_from_epoch"] == 3
    assert resumed["new_tasks"] == whole["new_tasks"] and resumed["tasks"] == whole["tasks"]


def test_too_few_tasks_are_answered_by_their_templates(workplace: Workplace) -> None:
    found = measure(workplace.trainer("SoftCPT-NATA"), 5)
    assert found.weight == 0 and found.folds == 0 and "3 training tasks or more" in found.line


@pytest.mark.parametrize(
    ("method", "words", "why"),
    [
        ("SoftCPT-NATS", (FOLDS, "2"), "SoftCPT-NATS has a task context for every task"),
        ("SoftCPT-NATA", (FOLDS, "1"), "must be 0, or a whole number from 2 to 1000"),
        ("SoftCPT-NATA", (FOLDS, "2", "MODEL.INIT_WEIGHTS", "x"), "may have seen them"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    workplace: Workplace, method: str, words: tuple[str, ...], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        workplace.trainer(method, *words)


def test_blended_ends_are_exact() -> None:
    template, own = unit(torch.randn(3, 8)), unit(torch.randn(3, 8))
    assert torch.equal(blended(template, own, 0), template) and torch.equal(blended(template, own, 1), own)
    assert all(math.isclose(norm, 1, abs_tol=1e-6) for norm in blended(template, own, 0.4).norm(dim=1).tolist())
