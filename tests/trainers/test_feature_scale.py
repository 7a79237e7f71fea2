"""The scale of what SoftCPT's sub-network reads (prompting.meta_network.FeatureScale), from first principles."""

import pytest
import torch

from common.errors import InputError
from prompting.losses import unit
from prompting.meta_network import FeatureScale, SubNetwork
from tests.support.methods import batch, in_float64, loss_by_tasks, softcpt_features

STANDARD = ("TRAINER.SOFTCPT.FEATURES", "standard")


def features(names: int = 6, norm: float = 30.0) -> torch.Tensor:
    """A narrow cone of features, as text towers give them."""
    torch.manual_seed(0)
    return norm * unit(torch.randn(16, dtype=torch.float64) + 0.4 * torch.randn(names, 16, dtype=torch.float64))


def scaled(kind: str, x: torch.Tensor) -> torch.Tensor:
    return FeatureScale(kind, lambda: x)(x)


def test_a_standard_gram_matrix_is_a_shared_context_and_own_ones():
    """<x_t, x_u> over tasks: deviations sum to nothing and have size 1 in the mean, whatever the tower's cone is."""
    x = scaled("standard", features())
    shared = x.mean(0)
    torch.testing.assert_close(shared.norm(), torch.tensor(1.0, dtype=torch.float64))
    own = x - shared
    torch.testing.assert_close(own.square().sum(-1).mean(), torch.tensor(1.0, dtype=torch.float64))
    u = unit(features())
    torch.testing.assert_close(own, (u - u.mean(0)) / (u - u.mean(0)).square().sum(-1).mean().sqrt())


@pytest.mark.parametrize("kind", ["unit", "standard"])
def test_the_towers_norm_is_ignored(kind):
    torch.testing.assert_close(scaled(kind, features(norm=1.0)), scaled(kind, features(norm=30.0)))
    assert not torch.allclose(scaled("raw", features(norm=1.0)), scaled("raw", features(norm=30.0)))


@pytest.mark.parametrize("kind", ["raw", "unit", "standard"])
def test_a_step_moves_contexts_by_the_gram_matrix_of_features(kind):
    """What the docstring derives: after a descent step, S_t has moved by -e sum_u <x_t, x_u> dL/dS_u."""
    x = scaled(kind, features())
    network = SubNetwork(16, 2, 3).double()
    before = network(x)
    gradient = torch.randn_like(before)
    before.backward(gradient)
    with torch.no_grad():
        network.weight -= 0.1 * network.weight.grad
        moved = network(x) - before
    torch.testing.assert_close(moved, -0.1 * torch.einsum("tu,uld->tld", x @ x.t(), gradient))


@pytest.mark.parametrize("names", [[0], [0, 0]])
def test_names_without_deviation_are_the_shared_context_alone(names):
    x = features()[names].requires_grad_()
    got = scaled("standard", x)
    torch.testing.assert_close(got, unit(x))
    got.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_the_mean_follows_features_in_training_and_stays_in_testing():
    scale = FeatureScale("standard", features)
    moved = features() + torch.arange(16) * 0.5
    torch.testing.assert_close(scale(moved), scaled("standard", moved))
    torch.testing.assert_close(scale.centre, unit(moved).mean(0))
    kept = scale.centre.clone()
    scale.eval()
    alone = scale(features()[:1])
    torch.testing.assert_close(scale.centre, kept, rtol=0, atol=0)
    torch.testing.assert_close(alone, unit(kept) + (unit(features()[:1]) - kept) * scale.variance.rsqrt())


def test_a_batch_of_some_names_pulls_the_running_mean():
    scale = FeatureScale("standard", features)
    before, variance = scale.centre.clone(), scale.variance.clone()
    some = unit(features() + torch.arange(16) * 0.5)[2:4]
    scale(some)
    centre = before + ((some[0] - before) + (some[1] - before)) / 6
    torch.testing.assert_close(scale.centre, centre)
    squares = (some - centre).square().sum(1)
    torch.testing.assert_close(scale.variance, variance + (squares.sum() - 2 * variance) / 6)


@pytest.mark.parametrize("variant", ["NATA", "NATS", "CSTA", "STAR"])
def test_loss_and_gradient_of_a_standard_learner(workplace, tower64, monkeypatch, variant):
    """The whole learner in float64; gradients pass through mean and deviation."""
    trainer = workplace.trainer("SoftCPT", *STANDARD, "TRAINER.SOFTCPT.VARIANT", variant)
    trainer = in_float64(trainer, tower64)
    layout, text = trainer.layout, tower64.text
    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)

    def standard(f: torch.Tensor) -> torch.Tensor:
        u = f / f.norm(dim=1, keepdim=True)
        c = u.mean(0)
        return c / c.norm() + (u - c) / ((u - c) ** 2).sum(1).mean().sqrt()

    expected, leaf = softcpt_features(text, layout, trainer.model, variant, "linear", "end", scale=standard)
    expected = loss_by_tasks(tower64, layout, expected, image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    got = torch.autograd.grad(loss, [trainer.model.get_parameter(name) for name in leaf])
    for name, a, b in zip(leaf, got, torch.autograd.grad(expected, list(leaf.values())), strict=True):
        assert b.abs().max() > 0, name
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_a_resumed_run_equals_an_uninterrupted_one(workplace):
    workplace.killed_and_resumed("SoftCPT", *STANDARD)
    assert "task_scale.centre" in workplace.learned("whole", 4)


def test_an_unknown_scale_is_named(workplace):
    with pytest.raises(InputError, match="TRAINER.SOFTCPT.FEATURES 'standrd' is unknown; did you mean 'standard'"):
        workplace.trainer("SoftCPT", "TRAINER.SOFTCPT.FEATURES", "standrd")


def test_what_one_name_taught_stays_at_its_scale_for_others():
    """With one name there is no deviation to learn: what is far from it later must not be blown up."""
    scale = FeatureScale("standard", lambda: features()[:1])
    scale(features()[:1] + 0.1)
    scale.eval()
    torch.testing.assert_close(scale(features()), unit(scale.centre).expand(6, -1))
