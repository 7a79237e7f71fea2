"""CLAP from first principles in float64."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from tests.support.methods import batch, handwritten, layout_of_sizes
from trainers.clap import HeldProbe
from trainers.engine.image_trainer import split_features

KEY = "TRAINER.CLAP."
SCALE = 9.0


def problem(sizes=(3, 4, 7), d=8):
    """Shots of classes with different numbers, and text features that are related to them."""
    torch.manual_seed(0)
    y = torch.cat([torch.full((n,), c) for c, n in enumerate(sizes)])
    t = F.normalize(torch.randn(len(sizes), d, dtype=torch.float64), dim=-1)
    x = F.normalize(t[y] + torch.randn(len(y), d, dtype=torch.float64), dim=-1)
    return x, y, t


def plain_multipliers(x, y, t, scale):
    """By class, the mean over its shots of zero-shot CLIP's probability of the class, shot by shot."""
    sure = [torch.stack([scale * x_i @ t_c for t_c in t]).softmax(0)[c] for x_i, c in zip(x, y.tolist(), strict=True)]
    by_class = [[p for p, label in zip(sure, y.tolist(), strict=True) if label == c] for c in range(len(t))]
    return torch.stack([sum(of) / len(of) for of in by_class])


def plain_objective(w, x, y, start, multipliers, scale, penalty=1.0):
    """The paper's objective, image by image and class by class."""
    total = torch.zeros((), dtype=w.dtype)
    for x_i, c in zip(x, y.tolist(), strict=True):
        logits = torch.stack([scale * F.cosine_similarity(x_i, w_c, dim=0) for w_c in w])
        total = total - logits.log_softmax(0)[c] / len(x)
    for w_c, start_c, held in zip(w, start, multipliers, strict=True):
        total = total + penalty * held * ((w_c - start_c) ** 2).sum() / len(w)
    return total


def plain_fit(x, y, start, scale, epochs=300, penalty=1.0, lr=0.1, momentum=0.9):
    """w after every epoch, by PyTorch's own gradients and optimiser."""
    multipliers = plain_multipliers(x, y, F.normalize(start, dim=1), scale)
    w = start.clone().requires_grad_()
    optimizer, found = torch.optim.SGD([w], lr=lr, momentum=momentum), []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        optimizer.zero_grad()
        plain_objective(w, x, y, start, multipliers, scale, penalty).backward()
        optimizer.step()
        found.append(w.detach().clone())
    return found


def test_multipliers():
    x, y, t = problem()
    probe = HeldProbe(x, y, 3 * t, SCALE, 1.0, 0.9)
    expected = plain_multipliers(x, y, t, SCALE)
    torch.testing.assert_close(probe.multipliers, expected)
    assert expected.max() - expected.min() > 0.05  # classes differ


def test_a_class_without_shots_gets_the_mean_multiplier():
    x, y, t = problem()
    seen = y != 1
    probe = HeldProbe(x[seen], y[seen], 3 * t, SCALE, 1.0, 0.9)
    own = probe.multipliers[[0, 2]]
    torch.testing.assert_close(probe.multipliers[1], own.mean())
    assert abs(float(own[0] - own[1])) > 0.01


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.5])
def test_gradient(penalty):
    x, y, t = problem()
    probe = HeldProbe(x, y, 3 * t, SCALE, penalty, 0.9)
    torch.manual_seed(1)
    probe.w = w = (3 * t + torch.randn_like(t)).requires_grad_()
    held = plain_multipliers(x, y, t, SCALE)
    (expected,) = torch.autograd.grad(plain_objective(w, x, y, 3 * t, held, SCALE, penalty), w)
    torch.testing.assert_close(probe.gradient().detach(), expected, rtol=1e-9, atol=1e-12)


def of_task(trainer, index):
    """Features and classes of a task's shots, and its text features, in float64."""
    x, y = split_features(trainer, "train")
    mine = trainer.task_of_class[y] == index
    rows = list(trainer.layout.classes_of(index))
    return x[mine].double(), y[mine] - rows[0], trainer.handwritten_features[rows].double()


def fitted(workplace, *words):
    trainer = workplace.trainer("CLAP", *words)
    with torch.no_grad():
        trainer.fit()
    return trainer


def rows(trainer, index):
    return trainer.model.weight.detach()[list(trainer.layout.classes_of(index))]


@pytest.mark.parametrize(
    ("words", "norm", "settings"),
    [
        ((), 10.0, {}),
        (("PENALTY", "0.0", "NORM", "30.0"), 30.0, {"penalty": 0.0}),
        (("LR", "0.02", "MOMENTUM", "0.5"), 10.0, {"lr": 0.02, "momentum": 0.5}),
    ],
)
def test_training_follows_the_equations(workplace, words, norm, settings):
    words = [word if number % 2 else KEY + word for number, word in enumerate(words)]
    trainer = fitted(workplace, KEY + "EPOCHS", "40", *words)
    scale = float(trainer.tower.logit_scale)
    for index in range(2):
        x, y, t = of_task(trainer, index)
        expected = plain_fit(x, y, norm * scale / 100 * t, scale, epochs=40, **settings)[-1].float()
        torch.testing.assert_close(rows(trainer, index), expected, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(expected, (norm * scale / 100 * t).float(), atol=1e-3)  # it moved


def test_the_penalty_holds_the_weights(workplace):
    moved = []
    for penalty in ("0.0", "1.0", "100.0"):
        trainer = fitted(workplace, KEY + "EPOCHS", "60", KEY + "LR", "0.01", KEY + "PENALTY", penalty)
        t = trainer.handwritten_features * trainer.tower.logit_scale / 10
        moved.append(float((trainer.model.weight.detach() - t).norm()))
    assert moved[0] > moved[1] > moved[2]


def test_each_task_is_fitted_as_if_alone(workplace):
    joint = fitted(workplace, KEY + "EPOCHS", "30")
    for task in (0, 1):
        alone = fitted(workplace, KEY + "EPOCHS", "30", "DATASET.SUBSAMPLE_TASKS", f"task{task}")
        torch.testing.assert_close(rows(joint, task), rows(alone, 0), rtol=1e-5, atol=1e-6)


def test_validation_images_are_not_used(workplace):
    trainer = workplace.trainer("CLAP", KEY + "EPOCHS", "5")
    assert not trainer.uses_validation(trainer.cfg)
    with torch.no_grad():
        trainer.fit()
    without = workplace.trainer("CLAP", KEY + "EPOCHS", "5")
    without.dm.dataset._val = []
    with torch.no_grad():
        without.fit()
    assert torch.equal(trainer.model.weight, without.model.weight)


def test_predictions(workplace, tower64):
    trainer = workplace.trainer("CLAP")
    trainer.tower = tower64
    trainer.model = trainer.build_learner().double()
    torch.manual_seed(3)
    torch.nn.init.normal_(trainer.model.weight)
    images, _, task = batch(trainer.layout, tower64.text.feature_dim)
    w = trainer.model.weight
    cosine = torch.stack([F.cosine_similarity(images, w[c].unsqueeze(0)) for c in range(5)], dim=1)
    torch.testing.assert_close(trainer.classifier()(images, task), tower64.logit_scale * cosine)


def test_it_starts_as_zero_shot_clip(workplace):
    """With a step too small to move it, the head is that of zero-shot CLIP."""
    trainer = fitted(workplace, KEY + "EPOCHS", "1", KEY + "LR", "1e-12")
    expected = handwritten(trainer.layout, trainer.tower.text)
    torch.testing.assert_close(trainer.head().weight, expected, rtol=1e-4, atol=1e-5)


def test_parameters_are_counted_per_class(workplace):
    counts = workplace.run("CLAP", "run", KEY + "EPOCHS", "2")["counts"]
    assert counts["trainable_parameters"] == 5 * 48
    trainer = workplace.trainer("CLAP")
    trainer.tower = SimpleNamespace(text=SimpleNamespace(feature_dim=1024))
    trainer.layout = layout_of_sizes([1000])
    assert sum(p.numel() for p in trainer.build_learner().parameters()) == 1_024_000
