"""New tasks, and other classes of trained ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import classifier.classifier
from classifier import Classifier, Predictions
from classifier.heads import LinearHead
from classifier.questions import AT_ONCE
from common import catalogue
from common.catalogue import METHODS
from common.errors import InputError
from prompting.photographs import read_image
from tests.support.finished import Finished
from tests.support.training import Workplace

NEW = [method.name for method in METHODS.values() if method.tied_to == "nothing"]
RESIDUAL = [method.name for method in METHODS.values() if catalogue.RESIDUAL in method.keys]
OTHER = [method.name for method in METHODS.values() if method.tied_to == "tasks"]
NOT = [method.name for method in METHODS.values() if method.tied_to == "classes"]
FLOWERS = "kind of flower"
Trained = Callable[..., Finished]


def of(finished: Trained, method: str, *seeds: int) -> Classifier:
    return Classifier.load(*(finished(method, seed).folder for seed in seeds or (1,)))


@pytest.mark.parametrize("method", [*NEW, *OTHER])
def test_the_same_classes_again_change_nothing(finished: Trained, method: str) -> None:
    """What a bundle holds writes the prompts that the run was tested with."""
    run, asked = finished(method), of(finished, method)
    images = [read_image(path) for path in run.images[:4]]
    before = asked.predict(images)
    for task in asked.tasks:
        asked.add_task(task.name, task.classnames)
    assert asked.tasks == tuple(answers.task for answers in before.per_task)
    for first, second in zip(before.per_task, asked.predict(images).per_task, strict=True):
        torch.testing.assert_close(second.probabilities, first.probabilities, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", RESIDUAL)
def test_a_class_that_is_new_leaves_the_task_to_the_text(finished: Trained, tmp_path: Path, method: str) -> None:
    """A residual belongs to the classes that it was fitted to. Some of these keep it."""
    run, asked = finished(method), of(finished, method)
    images = [read_image(path) for path in run.images[:4]]
    before = asked.predict(images)
    asked.add_task(FLOWERS, ["ox-eye daisy", "rose"])
    torch.testing.assert_close(margin(asked.predict(images)), margin(before), rtol=1e-2, atol=1e-3)
    asked.add_task(FLOWERS, ["ox-eye daisy", "cactus", "rose"])
    after = asked.predict(images)
    assert not torch.allclose(margin(after), margin(before), rtol=1e-2)
    torch.testing.assert_close(after.per_task[1].probabilities, before.per_task[1].probabilities)
    alpha = float(run.results["residual"]["alpha_0"])  # the length of a class of text alone
    torch.testing.assert_close(weight(asked)[:3].norm(dim=1), torch.full((3,), alpha))
    asked.save(tmp_path / "bundle")
    again = Classifier.load(tmp_path / "bundle").predict(images)
    assert torch.equal(again.per_task[0].probabilities, after.per_task[0].probabilities)


@pytest.mark.parametrize("method", [name for name in (*NEW, *OTHER) if name not in RESIDUAL])
def test_some_of_the_classes_and_others(finished: Trained, tmp_path: Path, method: str) -> None:
    """Those that stay have the logits that they had, the other task is untouched, and all of it is saved."""
    run, asked = finished(method), of(finished, method)
    images = [read_image(path) for path in run.images[:4]]
    before = asked.predict(images)
    asked.add_task(FLOWERS, ["ox-eye daisy", "cactus", "rose"])
    after = asked.predict(images)
    assert [len(answers.task.classnames) for answers in after.per_task] == [3, 2]
    assert asked.tasks[0].template == before.per_task[0].task.template
    torch.testing.assert_close(after.per_task[1].probabilities, before.per_task[1].probabilities)
    torch.testing.assert_close(margin(after), margin(before), rtol=1e-2, atol=1e-3)
    asked.save(tmp_path / "bundle")
    again = Classifier.load(tmp_path / "bundle")
    for first, second in zip(after.per_task, again.predict(images).per_task, strict=True):
        assert first.task == second.task and torch.equal(first.probabilities, second.probabilities)
    again.add_task(FLOWERS, before.per_task[0].task.classnames)
    for first, second in zip(before.per_task, again.predict(images).per_task, strict=True):
        torch.testing.assert_close(second.probabilities, first.probabilities, rtol=1e-3, atol=1e-5)


def weight(asked: Classifier) -> Tensor:
    (head,) = asked.heads
    assert isinstance(head, LinearHead)
    return head.weight


def margin(predictions: Predictions) -> Tensor:
    """The logit of the first task's roses minus that of its daisies."""
    names, logs = predictions.per_task[0].task.classnames, predictions.per_task[0].probabilities.log()
    rose, daisy = (next(n for n, name in enumerate(names) if word in name) for word in ("rose", "daisy"))
    return logs[:, rose] - logs[:, daisy]


@pytest.fixture(scope="module")
def on_one_task(finished: Trained, place: Workplace) -> Callable[[str, str], tuple[Finished, Path]]:
    """A function: method -> its run on the first task, and its test on the second, as scripts/new_tasks.sh tests it."""
    half = ("DATASET.SUBSAMPLE_TASKS", "base")

    def runs(method: str, words: str = "") -> tuple[Finished, Path]:
        more = tuple(words.split())
        run = finished(method, 1, (*half, *more))
        name = f"{method}-on-new{words.replace('/', '-')}"
        place.evaluate(run.folder.name, method, name, "DATASET.SUBSAMPLE_TASKS", "new", *more, epochs=2)
        return run, place.output / name

    return runs


@pytest.mark.parametrize(
    ("method", "words"),
    [
        *((method, "") for method in NEW if not method.startswith("Zero")),
        ("SoftCPT-NATA", "TRAINER.SOFTCPT.FEATURES standard"),
        ("SoftCPT-CATA", "TRAINER.SOFTCPT.FEATURES standard TRAINER.SOFTCPT.SUB_NETWORK linmean"),
        ("SoftCPT-CATA", "TRAINER.SOFTCPT.SUB_NETWORK lincls TRAINER.SOFTCPT.CLASS_N_CTX 0"),
        ("SoftCPT-NATA", "TRAINER.SOFTCPT.SUB_NETWORK mlp TRAINER.SOFTCPT.CLASS_TOKEN_POSITION middle"),
    ],
)
def test_a_new_task_is_answered_as_new_tasks_tests_it(
    on_one_task: Callable[[str, str], tuple[Finished, Path]], method: str, words: str
) -> None:
    run, tested = on_one_task(method, words)
    asked, wanted = Classifier.load(run.folder), Classifier.load(tested)
    (task,) = wanted.tasks
    assert task.name not in [one.name for one in asked.tasks]
    asked.add_task(task.name, task.classnames, task.template)
    images = [read_image(path) for path in run.images[:4]]
    got, expected = asked.predict(images).per_task[-1], wanted.predict(images).per_task[0]
    assert got.task.classnames == expected.task.classnames
    torch.testing.assert_close(got.probabilities, expected.probabilities, rtol=1e-3, atol=1e-5)


def test_the_name_of_a_task_matters_to_those_that_read_it(finished: Trained) -> None:
    images = [read_image(path) for path in finished("CoOp-MT").images[:2]]
    for method, matters in (("SoftCPT-NATA", True), ("CoOp-MT", False), ("ZeroshotCLIP", False)):
        asked = of(finished, method)
        for name in ("kind of soil", "mood of a poem"):
            asked.add_task(name, ["sand", "clay"])
        first, second = (answers.probabilities for answers in asked.predict(images, tasks=[2, 3]).per_task)
        assert torch.allclose(first, second, atol=1e-6) is not matters


def test_seeds_write_prompts_each_and_their_mean_is_compared(finished: Trained, tmp_path: Path) -> None:
    alone = [of(finished, "SoftCPT-NATA", seed) for seed in (1, 2)]
    together = of(finished, "SoftCPT-NATA", 1, 2)
    together.save(tmp_path / "both")
    for asked in (*alone, together):
        asked.add_task("kind of soil", ["sand", "clay", "loam"])
    rows = [weight(one)[-3:] for one in alone]
    mean = (rows[0] + rows[1]) / 2
    torch.testing.assert_close(weight(together)[-3:], mean / mean.norm(dim=1, keepdim=True))
    assert len(together.questions) == 2
    again = Classifier.load(tmp_path / "both")
    again.add_task("kind of soil", ["sand", "clay", "loam"])
    torch.testing.assert_close(weight(again), weight(together))


def test_seeds_side_by_side(finished: Trained) -> None:
    together = of(finished, "MaPLe", 1, 2)
    images = [read_image(path) for path in finished("MaPLe").images[:3]]
    before = together.predict(images).per_task[0]
    together.add_task(FLOWERS, before.task.classnames[::-1])
    after = together.predict(images).per_task[0]
    torch.testing.assert_close(after.probabilities, before.probabilities.flip(1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", OTHER)
def test_methods_whose_parameters_belong_to_tasks_say_so(finished: Trained, method: str) -> None:
    message = refused(of(finished, method), "kind of soil", ["sand", "clay"])
    assert message.startswith(f"{method} has {METHODS[method].ties}, and none for a task") and FLOWERS not in message


@pytest.mark.parametrize("method", NOT)
def test_methods_whose_parameters_belong_to_classes_say_so(finished: Trained, method: str) -> None:
    asked = of(finished, method)
    for name, what in (("kind of soil", "a task"), (FLOWERS, "a class")):
        assert f"{METHODS[method].ties}, and none for {what}" in refused(asked, name, ["sand", "clay"])


def refused(asked: Classifier, name: str, classes: list[str], template: str = "") -> str:
    """The line that says why a question cannot be asked; nothing has changed then."""
    heads, tasks = list(asked.heads), asked.tasks
    with pytest.raises(InputError) as error:
        asked.add_task(name, classes, template)
    assert asked.heads == heads and asked.tasks == tasks and "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    return str(error.value)


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "CoCoOp", "ZeroshotCLIP"])
def test_names_that_make_no_question(finished: Trained, method: str) -> None:
    asked, name = of(finished, method), FLOWERS
    assert "1 class; a question needs at least two" in refused(asked, name, ["rose"])
    assert "0 classes" in refused(asked, name, [])
    assert "'rose' and 'Rose'" in refused(asked, name, ["rose", "tulip", "Rose"])
    assert "'' of task" in refused(asked, name, ["rose", ""])
    assert "has none" in refused(asked, " ", ["rose", "tulip"])
    assert "no {}" in refused(asked, name, ["rose", "tulip"], "a photo of a rose")
    long = " ".join(["very"] * 200)
    assert "very very" in refused(asked, name, ["rose", f"{long} red"])
    if method == "SoftCPT-NATA":
        assert "very very" in refused(asked, f"{long} long", ["rose", "tulip"])


def test_thousands_of_classes_in_parts(finished: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = of(finished, "SoftCPT-CATA")
    sizes = []
    encode = classifier.questions.encode

    def watched(text, packed, *more):
        sizes.append(len(packed.ends))
        return encode(text, packed, *more)

    monkeypatch.setattr(classifier.questions, "encode", watched)
    asked.add_task("number", [f"number {n}" for n in range(2 * AT_ONCE + 7)])
    assert sizes == [AT_ONCE, AT_ONCE, 7]
    images = [read_image(path) for path in finished("SoftCPT-CATA").images[:2]]
    assert asked.predict(images, tasks=[2]).per_task[0].probabilities.shape == (2, 2 * AT_ONCE + 7)


def test_the_text_tower_is_there_only_when_it_is_needed(
    finished: Trained, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[object] = []
    load = classifier.classifier.load_tower

    def watched(*args):
        loads.append(args)
        return load(*args)

    monkeypatch.setattr(classifier.classifier, "load_tower", watched)
    asked = of(finished, "CoOp-MT")
    assert not asked.tower.has_text and not list(asked.tower.text.parameters()) and len(loads) == 1
    asked.predict([read_image(finished("CoOp-MT").images[0])])
    assert len(loads) == 1
    asked.add_task("kind of soil", ["sand", "clay"])
    asked.add_task("kind of tree", ["oak", "elm"])
    assert asked.tower.has_text and len(loads) == 2
    assert of(finished, "CoCoOp").tower.has_text


def test_another_text_tower_is_refused_when_it_is_needed(finished: Trained, place: Workplace) -> None:
    from tests.support.towers import random_clip

    asked, whole = of(finished, "CoOp-MT"), place.checkpoint.read_bytes()
    state = random_clip().state_dict()
    try:
        torch.save({**state, "text_projection": state["text_projection"] + 1}, place.checkpoint)
        assert "other weights" in refused(asked, "kind of soil", ["sand", "clay"])
    finally:
        place.checkpoint.write_bytes(whole)
    asked.add_task("kind of soil", ["sand", "clay"])
