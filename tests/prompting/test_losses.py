"""The task layout, and the loss against the paper's formula."""

import math

import torch
import torch.nn.functional as F

from prompting.losses import within_task
from prompting.tasks import Task, TaskLayout

LAYOUT = TaskLayout((Task("a", ("x", "y")), Task("b", ("x", "y", "z"))))


def test_layout():
    assert LAYOUT.offsets == (0, 2, 5) and LAYOUT.n_classes == 5
    assert LAYOUT.task_of_class.tolist() == [0, 0, 1, 1, 1]
    assert LAYOUT.classes_of_all([1, 0]) == [2, 3, 4, 0, 1]
    assert LAYOUT.classnames == ("x", "y", "x", "y", "z")


def test_the_loss_only_sees_each_samples_own_task():
    logits = torch.tensor(
        [[1.0, 3.0, 99.0, 99.0, 99.0], [50.0, 50.0, 0.5, -1.0, 2.0], [2.0, 2.0, 0.0, 0.0, 0.0]], dtype=torch.float64
    )
    label, task = torch.tensor([0, 4, 1]), torch.tensor([0, 1, 0])
    first = -math.log(math.exp(1) / (math.exp(1) + math.exp(3)))
    second = -math.log(math.exp(2) / (math.exp(0.5) + math.exp(-1) + math.exp(2)))
    third = -math.log(0.5)
    loss = F.cross_entropy(within_task(logits, task, LAYOUT.task_of_class), label)
    assert abs(float(loss) - (first + second + third) / 3) < 1e-6
    assert within_task(logits, task, LAYOUT.task_of_class).argmax(1).tolist() == [1, 4, 0]


def test_other_tasks_classes_get_no_gradient():
    logits = torch.randn(4, 5, requires_grad=True)
    task = torch.zeros(4, dtype=torch.long)
    F.cross_entropy(within_task(logits, task, LAYOUT.task_of_class), torch.tensor([0, 1, 0, 1])).backward()
    assert logits.grad[:, 2:].abs().max() == 0 and logits.grad[:, :2].abs().min() > 0
