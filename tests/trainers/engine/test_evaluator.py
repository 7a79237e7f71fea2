"""A collection's accuracy and its mistakes, by hand."""

import pytest
import torch

from prompting.tasks import Task, TaskLayout
from trainers.engine.evaluator import TaskEvaluator

LAYOUT = TaskLayout((Task("a", ("x", "y")), Task("b", ("x", "y", "z"), metric="C")))
COLOUR_AND_SHAPE = TaskLayout((Task("colour", ("red", "blue")), Task("shape", ("round", "long", "flat"))))


def one_hot(predicted):
    return torch.nn.functional.one_hot(torch.tensor(predicted), 5).double()


def test_each_task_by_its_own_metric(capsys):
    evaluator = TaskEvaluator(None, LAYOUT)
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


def test_mistakes_are_the_most_confident_of_every_class():
    evaluator = TaskEvaluator(None, COLOUR_AND_SHAPE)
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
    assert TaskEvaluator(None, COLOUR_AND_SHAPE).mistakes(3) == [[], []]


def test_calibration_errors_with_temperatures_and_without():
    evaluator = TaskEvaluator(None, COLOUR_AND_SHAPE)
    inf = float("inf")
    evaluator.temperatures = torch.tensor([2.0, 1.0])
    rows = [[2.0, 0, -inf, -inf, -inf], [-inf, -inf, 0, 0, 3.0]]
    evaluator.process(torch.tensor(rows), torch.tensor([0, 2]))
    colour, shape = evaluator.calibration()
    sure = [float(torch.tensor(logits).softmax(0).max()) for logits in ([1.0, 0.0], [2.0, 0.0], [0.0, 0.0, 3.0])]
    assert colour == pytest.approx((100 * (1 - sure[0]), 100 * (1 - sure[1])))  # right
    assert shape == pytest.approx((100 * sure[2], 100 * sure[2]))  # wrong
    empty = TaskEvaluator(None, COLOUR_AND_SHAPE).calibration()
    assert len(empty) == 2 and all(value != value for pair in empty for value in pair)
