"""Tip-Adapter and Tip-Adapter-F by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.prompts import sentence
from prompting.reference import encode_plain
from trainers.tip_adapter import Cache, grid


def test_tip_adapter_by_hand():
    cache = Cache(3, 2, 2, alpha=0.5, beta=2.0, trained=False)
    cache.keys.copy_(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    cache.values.copy_(torch.tensor([1, 0, 1]))
    got = cache(torch.tensor([[0.8, 0.6]]))
    near = [math.exp(-2 * (1 - cosine)) for cosine in (0.8, 0.96, 0.6)]
    torch.testing.assert_close(got, torch.tensor([[0.5 * near[1], 0.5 * (near[0] + near[2])]]))
    assert grid(7, 200)[:2] == pytest.approx([0.1, 0.1345]) and grid(3, 20)[-1] == pytest.approx(3 - 2.9 / 20)


def test_tip_adapter_f_from_first_principles(workplace, tower64):
    trainer = workplace.trainer("Tip-Adapter-F")
    trainer.fill_caches()
    for cache in trainer.model:
        assert torch.allclose(cache.keys.norm(dim=1), torch.ones(len(cache.keys)))
    trainer.tower, trainer.model = tower64, trainer.model.double()
    layout, text = trainer.layout, tower64.text
    x = F.normalize(torch.randn(4, text.feature_dim, dtype=torch.float64), dim=1)
    label = torch.tensor([3, 4, 4, 3])  # of the second task
    loss, logits, column = trainer.loss(x, label, layout.task_of_class[label])
    got = torch.autograd.grad(loss, trainer.model[1].keys)[0]
    assert column.tolist() == [0, 1, 1, 0] and logits.shape == (4, 2)

    keys = trainer.model[1].keys.detach().clone().requires_grad_()
    values = F.one_hot(trainer.model[1].values, 2).double()
    prompts = [sentence(text.vocabulary, layout.tasks[1].template.format(n)) for n in layout.tasks[1].classnames]
    w = F.normalize(encode_plain(text, prompts, None), dim=1)
    alpha, beta = (float(torch.tensor(value)) for value in (1.17, 1.0))
    z = tower64.logit_scale * x @ w.t() + alpha * torch.exp(-beta * (1 - x @ keys.t())) @ values
    expected = F.cross_entropy(z, label - 3)
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(got, torch.autograd.grad(expected, keys)[0], rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(("method", "parameters"), [("Tip-Adapter", 0), ("Tip-Adapter-F", 10 * 48)])
def test_a_run_with_and_without_the_bank(workplace, method, parameters):
    opts = ("TRAINER.TIPADAPTER.STEPS_BETA", "5")
    results = workplace.run(method, "run", *opts)
    assert results["counts"]["trainable_parameters"] == parameters
    bankless = workplace.run(method, "bankless", *opts, "BANK.TEST", "False", "BANK.TRAIN", "False")
    assert bankless["mean"] == pytest.approx(results["mean"], abs=7)  # an image may fall on the other side


def test_keys_of_images_that_are_not_augmented(workplace):
    workplace.run("TipAdapter", "run", "INPUT.TRANSFORMS", "('normalize',)", "TRAINER.TIPADAPTER.STEPS_BETA", "5")
    assert len(list((workplace.output / ".bank").glob("*.features"))) == 3  # training, validation and test images


@pytest.mark.parametrize(
    ("method", "opts", "message"),
    [
        ("Tip-Adapter", ("TRAINER.TIPADAPTER.VIEWS", "0"), "TRAINER.TIPADAPTER.VIEWS is 0"),
        ("Tip-Adapter-F", ("TEST.FINAL_MODEL", "best_val"), "TEST.FINAL_MODEL last_step"),
    ],
)
def test_bad_settings_are_one_line(workplace, method, opts, message):
    with pytest.raises(InputError, match=message) as error:
        workplace.run(method, "run", *opts)
    assert "\n" not in str(error.value)
