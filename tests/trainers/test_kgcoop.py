"""KgCoOp from first principles in float64."""

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from tests.support.methods import batch_of_task, features_of_contexts, handwritten, in_float64


def test_it_starts_as_its_words_do_and_draws_without_them(workplace, tower):
    learner = workplace.trainer("KgCoOp").model
    assert [tuple(p.shape) for p in learner.parameters()] == [(4, 64)] * 2
    expected = tower.text.token_embedding.weight[tower.text.vocabulary.encode("a photo of a")]
    assert all(torch.equal(p.detach(), expected) for p in learner.parameters())
    drawn = workplace.trainer("KgCoOp", "TRAINER.KGCOOP.CTX_INIT", "", "TRAINER.KGCOOP.N_CTX", "6").model
    assert drawn.n_ctx == 6 and float(drawn.ctx[0].detach().std()) == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("task", [0, 1])
def test_kgcoop_from_first_principles(workplace, tower64, task):
    trainer = in_float64(workplace.trainer("KgCoOp", "TRAINER.KGCOOP.W", "3.0"), tower64)
    layout, text, mine = trainer.layout, tower64.text, slice(*trainer.layout.offsets[task : task + 2])
    images, label, tasks = batch_of_task(layout, text.feature_dim, task)
    loss, _, _ = trainer.loss(images, label, tasks)
    got = torch.autograd.grad(loss, list(trainer.model.parameters()), allow_unused=True)
    v = torch.stack([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    w, clip = features_of_contexts(layout, text, v)[mine], handwritten(layout, text)[mine]
    expected = F.cross_entropy(tower64.logit_scale * images @ w.t(), label - mine.start)
    expected = expected + 3.0 * ((w - clip) ** 2).sum(-1).mean() / 2  # squared distance: 2 (1 - cos)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    assert got[1 - task] is None
    torch.testing.assert_close(got[task], torch.autograd.grad(expected, v)[0][task], rtol=1e-7, atol=1e-10)
    assert trainer.knobs.W == 3.0 and workplace.trainer("KgCoOp").knobs.W == 8.0


@pytest.mark.parametrize("bank", ["True", "False"])
def test_parameters_are_counted_per_task(workplace, bank):
    assert workplace.run("KgCoOp", "run", "BANK.TRAIN", bank)["counts"]["trainable_parameters"] == 2 * 4 * 64


def test_an_unknown_precision_is_one_line(workplace):
    with pytest.raises(InputError, match="TRAINER.KGCOOP.PREC '?.*fp8") as error:
        workplace.run("KgCoOp", "run", "TRAINER.KGCOOP.PREC", "fp8")
    assert "\n" not in str(error.value)
