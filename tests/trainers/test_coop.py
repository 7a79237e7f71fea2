"""CoOp with a context per task, per class and for all tasks: from first principles in float64."""

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.prompts import lay_out, sentence
from prompting.reference import encode_plain
from tests.support.methods import batch, in_float64, loss_by_tasks
from trainers.engine.contexts import word_vectors


@pytest.mark.parametrize("context", ["task", "shared"])
def test_coop_from_first_principles(workplace, tower64, context):
    trainer = in_float64(workplace.trainer("CoOp", "TRAINER.COOP.CONTEXT", context), tower64)
    layout, text = trainer.layout, tower64.text
    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)
    got = torch.stack(torch.autograd.grad(loss, list(trainer.model.parameters())))
    v = torch.stack([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    prompts = [
        lay_out(text.vocabulary, name, i if context == "task" else 0, 16)
        for i, t in enumerate(layout.tasks)
        for name in t.classnames
    ]
    expected = loss_by_tasks(tower64, layout, encode_plain(text, prompts, v), image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got, torch.autograd.grad(expected, v)[0], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_class_specific_coop_from_first_principles(workplace, tower64, position):
    trainer = in_float64(workplace.trainer("CoOp-CS", "TRAINER.COOP.CLASS_TOKEN_POSITION", position), tower64)
    layout, text = trainer.layout, tower64.text
    assert [tuple(p.shape) for p in trainer.model.parameters()] == [(3, 16, 64), (2, 16, 64)]
    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)
    got = torch.cat(torch.autograd.grad(loss, list(trainer.model.parameters())))
    v = torch.cat([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    prompts = [lay_out(text.vocabulary, name, c, 16, position) for c, name in enumerate(layout.classnames)]
    expected = loss_by_tasks(tower64, layout, encode_plain(text, prompts, v), image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got, torch.autograd.grad(expected, v)[0], rtol=1e-7, atol=1e-10)


def test_a_context_starts_from_words(workplace, tower):
    text = tower.text
    words = text.vocabulary.encode("a photo of a")
    expected = text.token_embedding.weight[words]
    assert len(words) == 4 and torch.equal(word_vectors(text, " a_photo of a"), expected)
    assert word_vectors(text, "  ") is None
    for context, shape in (("task", (4, 64)), ("shared", (4, 64)), ("class", (3, 4, 64))):
        opts = ("TRAINER.COOP.CONTEXT", context, "TRAINER.COOP.CTX_INIT", "a photo of a")
        trainer = workplace.trainer("CoOp", *opts)
        first = next(iter(trainer.model.parameters()))
        assert first.shape == shape and torch.equal(first.detach(), expected.expand(shape))
        features, _ = trainer.text_features([0, 1])
        said = [sentence(text.vocabulary, f"a photo of a {n.replace('_', ' ')}.") for n in trainer.layout.classnames]
        torch.testing.assert_close(features, F.normalize(encode_plain(text, said), dim=-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bank", ["True", "False"])
def test_a_context_per_class_is_counted_per_class(workplace, bank):
    results = workplace.run("CoOp-CS", "run", "BANK.TRAIN", bank)
    assert results["counts"]["trainable_parameters"] == 5 * 16 * 64


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("TRAINER.COOP.CONTEXT", "clas"), "TRAINER.COOP.CONTEXT 'clas' .*'class'"),
        (("TRAINER.COOP.CTX_INIT", "rose " * 80), "77 positions"),
    ],
)
def test_bad_settings_are_one_line(workplace, opts, message):
    with pytest.raises(InputError, match=message) as error:
        workplace.run("CoOp", "run", *opts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("context", ["task", "class"])
def test_joint_training_mixes_tasks(workplace, context):
    def tasks_in_batches(joint):
        trainer = workplace.trainer("CoOp", "TRAINER.COOP.CONTEXT", context, "TRAINER.COOP.JOINT", joint)
        return [len(trainer.task_of(batch["label"]).unique()) for batch in trainer.train_loader_x]

    assert set(tasks_in_batches("False")) == {1} and max(tasks_in_batches("True")) == 2
