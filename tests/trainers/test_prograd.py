"""ProGrad from first principles in float64."""

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.templates import words_before_name
from tests.support.methods import batch_of_task, features_of_contexts, handwritten, in_float64
from trainers.prograd import divergence, project


def prograd_step(workplace, tower64, task, conflict, **settings):
    """A ProGrad step's gradient, and the two that it is made of by plain autograd.

    Labels are the classes that zero-shot CLIP finds less (``conflict``) or more likely than the model does.
    """
    opts = [word for key, value in settings.items() for word in (f"TRAINER.PROGRAD.{key}", str(value))]
    trainer = in_float64(workplace.trainer("ProGrad", *opts), tower64)
    layout, text, mine = trainer.layout, tower64.text, slice(*trainer.layout.offsets[task : task + 2])
    images, _, tasks = batch_of_task(layout, text.feature_dim, task)
    v = torch.stack([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    logits = tower64.logit_scale * images @ features_of_contexts(layout, text, v)[mine].t()
    zero_shot, t = tower64.logit_scale * images @ handwritten(layout, text)[mine].t(), trainer.knobs.T
    more = (zero_shot.softmax(-1) - logits.softmax(-1)).detach()
    label = mine.start + (more.argmin(-1) if conflict else more.argmax(-1))
    trainer.model_zero_grad()
    loss, _, _ = trainer.loss(images, label, tasks)
    trainer.model_backward(loss)
    kl = F.kl_div((logits / t).log_softmax(-1), (zero_shot / t).softmax(-1), reduction="batchmean") * t * t
    (g_g,) = torch.autograd.grad(kl, v, retain_graph=True)
    cross_entropy = F.cross_entropy(logits, label - mine.start)
    (g_d,) = torch.autograd.grad(cross_entropy, v)
    torch.testing.assert_close(loss, cross_entropy, rtol=1e-9, atol=1e-9)
    assert trainer.model.ctx[1 - task].grad is None
    return trainer.model.ctx[task].grad, g_d[task], g_g[task]


@pytest.mark.parametrize("task", [0, 1])
@pytest.mark.parametrize("settings", [{}, {"LAMBDA": 0.8}, {"T": 2.0}])
def test_conflicting_gradients(workplace, tower64, task, settings):
    got, g_d, g_g = prograd_step(workplace, tower64, task, True, **settings)
    assert (g_d * g_g).sum() < 0
    share = settings.get("LAMBDA", 1.0)
    expected = g_d - share * (g_d * g_g).sum() / (g_g * g_g).sum() * g_g
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-10)
    assert not torch.allclose(got, g_d, rtol=1e-3)
    along = (got * g_g).sum() / (g_d * g_g).sum()
    assert float(along) == pytest.approx(1 - share, abs=1e-9)


@pytest.mark.parametrize("task", [0, 1])
def test_agreeing_gradients(workplace, tower64, task):
    got, g_d, g_g = prograd_step(workplace, tower64, task, False)
    assert (g_d * g_g).sum() > 0
    torch.testing.assert_close(got, g_d, rtol=1e-7, atol=1e-10)


def test_projection_by_hand():
    d, g = torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.0])
    assert project(d, g).tolist() == [0.0, 2.0] and project(d, g, 0.5).tolist() == [0.5, 2.0]
    assert project(d, -g).tolist() == [1.0, 2.0]
    assert project(d, torch.zeros(2)).tolist() == [1.0, 2.0]  # zero-shot CLIP's gradient is zero


def test_divergence_ignores_classes_of_other_tasks():
    logits = torch.tensor([[1.0, 2.0, -torch.inf]], requires_grad=True)
    zero_shot = torch.tensor([[0.5, 0.0, -torch.inf]])
    value = divergence(logits, zero_shot)
    torch.testing.assert_close(value, divergence(logits[:, :2], zero_shot[:, :2]))
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(gradient[0, :2], logits.detach()[0, :2].softmax(0) - zero_shot[0, :2].softmax(0))
    assert gradient[0, 2] == 0


def test_words_of_templates():
    assert words_before_name("a photo of a {}.") == "a photo of a"
    assert words_before_name("a photo of a {}, a type of pet.") == "a type of pet, a photo of a"
    assert words_before_name("{} texture.") == "texture" and words_before_name("{}") == ""


def test_it_starts_from_zeros_and_the_template(workplace, tower):
    text = tower.text
    learner = workplace.trainer("ProGrad").model
    first, second = learner.parameters()
    assert first.shape == second.shape == (16, 64)
    words = text.token_embedding.weight[text.vocabulary.encode("a type of flower, a photo of a")]
    assert len(words) == 9 and torch.equal(first[7:], words) and not first[:7].any()
    assert not second[:12].any() and second[12:].any(-1).all()
    drawn = next(iter(workplace.trainer("ProGrad", "TRAINER.PROGRAD.CTX_INIT", "False").model.parameters()))
    assert float(drawn.detach().std()) == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("bank", ["True", "False"])
def test_parameters_are_counted_per_task(workplace, bank):
    assert workplace.run("ProGrad", "run", "BANK.TRAIN", bank)["counts"]["trainable_parameters"] == 2 * 16 * 64


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("TRAINER.PROGRAD.N_CTX", "4"), "9 tokens .*TRAINER.PROGRAD.N_CTX is 4"),
        (("TRAINER.PROGRAD.T", "0.0"), "TRAINER.PROGRAD.T is 0.0"),
        (("TRAINER.PROGRAD.CLASS_TOKEN_POSITION", "top"), "TRAINER.PROGRAD.CLASS_TOKEN_POSITION 'top' "),
    ],
)
def test_bad_settings_are_one_line(workplace, opts, message):
    with pytest.raises(InputError, match=message) as error:
        workplace.run("ProGrad", "run", *opts)
    assert "\n" not in str(error.value)
