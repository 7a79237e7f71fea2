"""The residual of the images, from first principles in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from prompting import residual
from prompting.folds import folds
from prompting.logistic_regression import LogisticRegression
from prompting.residual import Choice, Shots, choose, fit_residuals, metrics

SCALE, ALPHA = 20.0, 0.7


def problem(sizes=(3, 4, 2), d=6, seed=0, noise=0.6):
    """A task's shots, with classes of different sizes, and templates that are related to them."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.cat([torch.full((size,), number) for number, size in enumerate(sizes)])

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    templates = F.normalize(normal(len(sizes), d), dim=-1)
    return Shots(F.normalize(templates[y] + noise * normal(len(y), d), dim=-1), y, templates)


def plain_map(tasks, index):
    """A of a task, sum by sum."""

    def scatter_of(task):
        total, free = torch.zeros(task.x.shape[1], task.x.shape[1], dtype=torch.float64), 0
        for c in range(len(task.templates)):
            own = task.x[task.y == c]
            for x in own:
                total += torch.outer(x - own.mean(0), x - own.mean(0))
            free += max(len(own) - 1, 0)
        return total, free

    own = [scatter_of(task) for task in tasks]
    together = sum(total for total, _ in own) / sum(free for _, free in own)
    maps = []
    for total, free in own:
        s = (total + residual.KIN * together) / (free + residual.KIN)
        d = len(s)
        inner = (1 - residual.RIDGE) * s / (s.trace() / d) + residual.RIDGE * torch.eye(d, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(inner)
        maps.append(vectors @ torch.diag(values**-0.5) @ vectors.t())
    distances = [
        (x @ a - task.x.mean(0) @ a).square().sum() for task, a in zip(tasks, maps, strict=True) for x in task.x
    ]
    return maps[index] / math.sqrt(float(sum(distances)) / len(distances))


def plain_minimum(task, features, a, text, c, steps=400):
    """V that minimises the objective, by PyTorch's gradients and solver."""
    v = torch.zeros(len(features), task.x.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([v], max_iter=steps, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def objective():
        solver.zero_grad()
        losses = []
        for x, y in zip(task.x, task.y.tolist(), strict=True):
            logits = torch.stack([text * SCALE * x @ features[k] + (x @ a) @ v[k] for k in range(len(features))])
            losses.append(logits.logsumexp(0) - logits[y])
        loss = torch.stack(losses).sum() + v.square().sum() / (2 * c)
        loss.backward()
        return loss

    solver.step(objective)
    return v.detach()


def test_weights_are_the_minimum_of_the_objective():
    tasks = [problem(), problem((4, 3), seed=1)]
    features = [F.normalize(task.templates + 0.1, dim=-1) for task in tasks]
    for index, one in enumerate(fit_residuals(tasks, features, SCALE, ALPHA, c=5.0)):
        a = plain_map(tasks, index)
        v = plain_minimum(tasks[index], features[index], a, ALPHA, 5.0)
        expected = ALPHA * features[index] + v @ a / SCALE
        torch.testing.assert_close(one.weight, expected, atol=2e-4, rtol=0)
        assert (one.weight - ALPHA * features[index]).norm() > 0.01  # the residual is not nothing
        assert one.alpha == ALPHA and one.choice == Choice(1.0, 5.0)


def test_many_classes_do_not_stop_the_solver_early():
    """An entry of the mean loss's gradient is of order 1 / classes."""
    task = problem((2,) * 200, d=64)
    offset = 0.5 * SCALE * task.x @ task.templates.t()
    v = residual.solve(task.x, task.y, offset, 100.0)

    def gradient(v):
        p = (offset + task.x @ v.t()).softmax(1) - F.one_hot(task.y, 200)
        return p.t() @ task.x + v / 100.0

    assert gradient(v).abs().max() < 1e-2 * gradient(torch.zeros_like(v)).abs().max()


def test_maps_are_shared_and_scaled():
    tasks = [problem(), problem((4, 3), seed=1), problem((1, 1, 1), seed=2)]
    for index, a in enumerate(metrics(tasks)):
        torch.testing.assert_close(a, plain_map(tasks, index))


def test_choices_are_those_of_cross_validation(monkeypatch):
    """Held-out cross-entropies with templates, fold by fold, to which the other tasks' are added."""
    monkeypatch.setattr(residual, "TEXT", (0.5, 1.0))
    monkeypatch.setattr(residual, "COSTS", (100.0, 1.0))
    tasks = [problem((3, 3), seed=3), problem((2, 2, 2), seed=4, noise=3.0)]
    grid = [(text, c) for text in (0.5, 1.0) for c in (100.0, 1.0)]
    sums = torch.zeros(2, 4, dtype=torch.float64)
    held = [folds(task.y, residual.FOLDS) for task in tasks]
    assert [len(masks) for masks in held] == [3, 2]
    for fold in range(3):
        parts = [
            task.part(~masks[fold]) if fold < len(masks) else task for task, masks in zip(tasks, held, strict=True)
        ]
        for index, task in enumerate(tasks):
            if fold >= len(held[index]):
                continue
            a, mask = plain_map(parts, index), held[index][fold]
            for column, (text, c) in enumerate(grid):
                v = plain_minimum(parts[index], task.templates, a, text * ALPHA, c)
                logits = text * ALPHA * SCALE * task.x[mask] @ task.templates.t() + task.x[mask] @ a @ v.t()
                sums[index, column] += F.cross_entropy(logits, task.y[mask], reduction="sum")
    for pull in (0.0, 20.0, 1e6):
        monkeypatch.setattr(residual, "PULL", pull)
        best = (sums + pull * sums.sum(0) / 12).argmin(1).tolist()
        expected = [Choice(*grid[column], len(masks)) for column, masks in zip(best, held, strict=True)]
        assert choose(tasks, SCALE, ALPHA) == expected
    assert expected[0].c == expected[1].c


def test_one_shot_a_class_leaves_nothing_to_hold_out():
    tasks = [problem((1, 1, 1)), problem((1, 1), seed=1)]
    assert choose(tasks, SCALE, ALPHA) == [Choice(1.0, residual.SINGLE)] * 2
    one = fit_residuals(tasks, [task.templates for task in tasks], SCALE, ALPHA)[0]
    assert one.alpha == ALPHA and torch.equal((SCALE * tasks[0].x @ one.weight.t()).argmax(1), tasks[0].y)


def test_a_task_without_shots_keeps_its_prompts_and_takes_the_others_choice():
    filled, empty = problem((4, 4, 4)), problem((0, 0))
    alone = choose([filled], SCALE, ALPHA)
    both = fit_residuals([filled, empty], [filled.templates, empty.templates], SCALE, ALPHA)
    assert both[0].choice == alone[0] and both[1].choice.c == alone[0].c and both[1].choice.folds == 0
    torch.testing.assert_close(both[1].weight, both[1].alpha * empty.templates)


def test_a_task_with_a_single_class_has_no_residual():
    one, other = problem((3,)), problem(seed=1)
    found = fit_residuals([one, other], [one.templates, other.templates], SCALE, ALPHA)
    torch.testing.assert_close(found[0].weight, found[0].alpha * one.templates)


def test_images_that_are_all_alike_are_no_reason_to_divide_by_zero():
    x = F.normalize(torch.ones(4, 6, dtype=torch.float64), dim=-1)
    task = Shots(x, torch.tensor([0, 0, 1, 1]), problem((1, 1)).templates)
    (found,) = fit_residuals([task], [task.templates], SCALE, ALPHA)
    assert found.weight.isfinite().all()


@pytest.mark.parametrize("n", [4, 30])
def test_an_offset_takes_the_place_of_the_intercept(n):
    """With two classes as well, each has a row; the gradient vanishes at the solution."""
    torch.manual_seed(0)
    x, offset = torch.randn(n, 8, dtype=torch.float64), torch.randn(n, 2, dtype=torch.float64)
    y = torch.arange(n) % 2
    for small in (True, False):
        regression = LogisticRegression(x, y, 2, offset)
        regression.small = small
        w, b = regression.fit(3.0, tolerance=1e-9)
        p = (offset + x @ w.t()).softmax(1)
        gradient = (p - F.one_hot(y, 2)).t() @ x + w / 3.0
        assert gradient.abs().max() < 1e-6 and w.abs().min() > 0 and not b.any()
        torch.testing.assert_close(w[0], -w[1])


def test_folds_are_alike_and_spare_a_class_of_one():
    y = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2, 2])
    masks = folds(y, 5)
    assert len(masks) == 5 and torch.stack(masks).sum(0).tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert [mask.sum().item() for mask in masks] == [3, 2, 2, 1, 1]
    assert all(set(y[~mask].tolist()) == {0, 1, 2} for mask in masks)
    assert folds(torch.tensor([0, 1, 2]), 5) == [] and folds(torch.empty(0, dtype=torch.long), 5) == []
