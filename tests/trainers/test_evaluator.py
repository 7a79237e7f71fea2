"""The collection's figure, by hand."""

from types import SimpleNamespace

import pytest
import torch

from prompting.tasks import Task, TaskLayout
from trainers.engine.batches import OneTaskBatches
from trainers.engine.evaluator import TaskEvaluator

LAYOUT = TaskLayout((Task("a", ("x", "y")), Task("b", ("x", "y", "z"), metric="C")))


def one_hot(predicted):
    return torch.nn.functional.one_hot(torch.tensor(predicted), 5).double()


def test_each_task_by_its_own_metric(capsys):
    evaluator = TaskEvaluator(SimpleNamespace(), LAYOUT)
    # task a: 3 of 4 right. task b: class 2 right 2 of 4, class 3 right 1 of 1, class 4 without test images.
    evaluator.process(one_hot([0, 0, 0]), torch.tensor([0, 0, 0]))
    evaluator.process(one_hot([0, 2, 2, 3, 4, 3]), torch.tensor([1, 2, 2, 2, 2, 3]))
    results = evaluator.evaluate()
    a, b = evaluator.per_task()
    assert (a["accuracy"], a["overall_accuracy"], a["class_mean_accuracy"]) == (75, 75, 50)
    assert b["overall_accuracy"] == pytest.approx(60) and b["accuracy"] == b["class_mean_accuracy"] == 75
    assert (b["correct"], b["total"], b["classes"]) == (3, 5, 3)
    assert next(iter(results)) == "accuracy" and results["accuracy"] == 75
    assert "=> result\n* total: 9\n* correct: 6\n* accuracy: 75.0%\n* error: 25.0%\n" in capsys.readouterr().out
    evaluator.reset()
    assert int(evaluator.confusion.sum()) == 0


def test_batches_of_one_task():
    tasks = [0] * 70 + [1] * 20 + [2] * 32
    batches = list(OneTaskBatches(tasks, 32))
    assert len(batches) == len(OneTaskBatches(tasks, 32)) == 4
    assert sorted(len(b) for b in batches) == [20, 32, 32, 32]
    for b in batches:
        assert len({tasks[i] for i in b}) == 1 and len(set(b)) == len(b)
    drawn = [i for b in batches for i in b]
    assert len(set(drawn)) == len(drawn)
    assert list(OneTaskBatches(tasks, 32)) != list(OneTaskBatches(tasks, 32))
