"""What results.json tells of a run besides accuracies: mistakes, similarities of tasks, nearest words."""

import json
import sys
import types

import pytest
import torch

from common.errors import InputError
from prompting.tasks import Task, TaskLayout
from trainers.engine.contexts import ContextTable
from trainers.engine.evaluator import TaskEvaluator
from trainers.engine.learned import by_task, describe, owners

LAYOUT = TaskLayout((Task("colour", ("red", "blue")), Task("shape", ("round", "long", "flat"))))


def test_mistakes_are_the_most_confident_of_every_class():
    evaluator = TaskEvaluator(None, LAYOUT)
    inf = float("inf")
    for rows, labels in (
        ([[0, 3, -inf, -inf, -inf], [0, 1, -inf, -inf, -inf]], [0, 0]),
        ([[5, 0, -inf, -inf, -inf], [0, 2, -inf, -inf, -inf], [-inf, -inf, 0, 0, 9]], [0, 0, 3]),
    ):
        evaluator.process(torch.tensor(rows, dtype=torch.float), torch.tensor(labels))
    colour, shape = evaluator.mistakes(2)
    assert [row["number"] for row in colour] == [0, 3]  # 1 is less sure of itself, 2 is right
    assert colour[0] == {"number": 0, "true": 0, "predicted": 1, "confidence": pytest.approx(0.9526, abs=1e-4)}
    assert [(row["number"], row["true"], row["predicted"]) for row in shape] == [(4, 1, 2)]
    tasks = evaluator.per_task()
    assert tasks[0]["confusion"] == [[0, 0, 1], [0, 1, 3]] and tasks[1]["confusion"] == [[1, 2, 1]]
    assert tasks[1]["classnames"] == ["round", "long", "flat"]
    assert TaskEvaluator(None, LAYOUT).mistakes(3) == [[], []]


def test_whose_contexts_they_are():
    assert owners(1, LAYOUT) == ["all tasks"] and owners(2, LAYOUT) == ["colour", "shape"]
    assert owners(5, LAYOUT, class_specific=True) == ["red", "blue", "round", "long", "flat"]
    assert owners(4, LAYOUT) == [f"{name}, context {k}" for name in ("colour", "shape") for k in (1, 2)]
    one = TaskLayout((Task("colour", ("red", "blue")),))
    assert owners(2, one) == ["colour, context 1", "colour, context 2"] and owners(2, one, True) == ["red", "blue"]
    contexts = torch.arange(5.0).reshape(5, 1, 1)
    assert by_task(contexts, LAYOUT, class_specific=True).tolist() == [[0.5], [3.0]]  # means of the tasks' classes
    assert by_task(contexts[:4], LAYOUT).tolist() == [[0.0, 1.0], [2.0, 3.0]]  # several side by side
    assert by_task(contexts[:1], LAYOUT) is None


def test_nearest_words_of_a_context_made_of_words(tower):
    text = tower.text
    tokens = [text.vocabulary.encode(word)[0] for word in ("flower", "photo")]
    start = text.token_embedding.weight.detach()[tokens].float()
    told = describe(ContextTable(2, 2, text.width, start=torch.stack([start, start + 1e-3])), LAYOUT, text)
    assert [row["of"] for row in told["words"]] == ["colour", "shape"]
    for row in told["words"]:
        assert [nearest[0][0] for nearest in row["nearest"]] == ["flower", "photo"]
        assert all(len(nearest) == 3 and nearest[0][1] <= nearest[1][1] <= nearest[2][1] for nearest in row["nearest"])
    assert told["task_similarity"]["contexts"][0][1] == pytest.approx(1, abs=1e-2)
    assert "task features" not in told["task_similarity"]


@pytest.mark.parametrize(
    ("trainer", "opts", "similar", "of"),
    [
        ("SoftCPT", (), {"task features", "contexts"}, ["kind of flower", "colour"]),
        ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "CSTA"), {"task features", "contexts"}, None),
        ("CoOp", ("TRAINER.COOP.CONTEXT", "shared"), set(), ["all tasks"]),
        ("PLOT", ("TRAINER.PLOT.N", "2"), {"contexts"}, None),
        ("CoCoOp", (), None, None),
        ("ZeroshotCLIP", (), None, None),
        ("LinearProbe", (), None, None),
    ],
)
def test_a_run_tells_of_its_contexts_and_mistakes(workplace, trainer, opts, similar, of):
    results = workplace.run(trainer, "run", *opts)
    stored = json.loads((workplace.output / "run" / "results.json").read_text())
    assert stored == results and "--trainer" in stored["command"]
    if similar is None:
        assert stored["contexts"] is None
    else:
        assert set(stored["contexts"]["task_similarity"]) == similar
        for matrix in stored["contexts"]["task_similarity"].values():
            assert [len(row) for row in matrix] == [2, 2] and matrix[0][0] == pytest.approx(1, abs=1e-3)
        names = [row["of"] for row in stored["contexts"]["words"]]
        assert names == of if of else len(names) > 2
    for task in stored["tasks"]:
        assert sum(count for _, _, count in task["confusion"]) == task["total"]
        assert sum(count for true, guess, count in task["confusion"] if true == guess) == task["correct"]
        wrong = task["total"] - task["correct"]
        assert len(task["examples"]) <= wrong and bool(task["examples"]) == bool(wrong)
        for example in task["examples"]:
            image = workplace.root / example["image"]
            assert image.is_file() and example["true"] != example["predicted"] and 0 <= example["confidence"] <= 1
            assert stored["data_root"] == str(workplace.root)


def test_weights_and_biases_gets_what_tensorboard_does(workplace, monkeypatch):
    asked, values, summary, closed = {}, [], {}, []
    run = types.SimpleNamespace(log=values.append, summary=summary, finish=lambda exit_code: closed.append(exit_code))
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **k: asked.update(k) or run))
    results = workplace.run("CoOp", "run", "WANDB.PROJECT", "flowers")
    assert (asked["project"], asked["name"]) == ("flowers", "CoOp-CA tiny seed 1") and asked["config"]["OPTIM"]["LR"]
    tags = {tag for row in values for tag in row}
    assert {"train/loss", "train/lr", "test/accuracy", "step"} <= tags and closed == [0]
    assert summary["accuracy/mean"] == results["mean"] and "accuracy/colour" in summary
    asked.clear()
    workplace.run("CoOp", "quiet")
    assert not asked
    with pytest.raises(InputError):
        workplace.run("CoOp", "refused", "WANDB.PROJECT", "flowers", "DATASET.NUM_SHOTS", "10000")
    assert closed == [0, 1]

    def offline(**_):
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=offline))
    with pytest.raises(InputError, match=r"wandb does not start \(no route to host\)"):
        workplace.run("CoOp", "other", "WANDB.PROJECT", "flowers")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        workplace.run("CoOp", "other", "WANDB.PROJECT", "flowers")
    assert not (workplace.output / "other").exists()
