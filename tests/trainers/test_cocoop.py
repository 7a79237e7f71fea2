"""CoCoOp from first principles in float64."""

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.prompts import lay_out
from prompting.reference import encode_plain
from tests.support.methods import batch, in_float64


def by_hand(tower, layout, learner, image_features, label, task):
    """Image by image: its contexts, its class features, its cosines; (loss, list of logits)."""
    losses, rows = [], []
    for x, y, t in zip(image_features, label.tolist(), task.tolist(), strict=True):
        p = dict(learner.tasks[t].named_parameters())
        hidden = torch.clamp(x @ p["linear1.weight"].t() + p["linear1.bias"], min=0)
        contexts = (p["ctx"] + hidden @ p["linear2.weight"].t() + p["linear2.bias"]).unsqueeze(0)
        prompts = [lay_out(tower.text.vocabulary, name, 0, 4) for name in layout.tasks[t].classnames]
        w = encode_plain(tower.text, prompts, contexts)
        rows.append(tower.logit_scale * F.cosine_similarity(x.unsqueeze(0), w))
        losses.append(F.cross_entropy(rows[-1], torch.tensor(y - layout.offsets[t])))
    return torch.stack(losses).mean(), rows


def test_cocoop_from_first_principles(workplace, tower64):
    trainer = in_float64(workplace.trainer("CoCoOp"), tower64)
    layout, parameters = trainer.layout, list(trainer.model.parameters())
    image_features, label, task = batch(layout, tower64.text.feature_dim)
    loss, logits, _ = trainer.loss(image_features, label, task)
    expected, rows = by_hand(tower64, layout, trainer.model, image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for got, row, t in zip(logits, rows, task.tolist(), strict=True):
        classes = layout.classes_of(t)
        torch.testing.assert_close(got[classes.start : classes.stop], row, rtol=1e-9, atol=1e-9)
        assert torch.isinf(got).sum() == layout.n_classes - len(classes)
    wanted = torch.autograd.grad(expected, parameters)
    for a, b in zip(torch.autograd.grad(loss, parameters), wanted, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_images_of_one_task_leave_the_others_alone(workplace, tower64):
    trainer = in_float64(workplace.trainer("CoCoOp"), tower64)
    image_features, label, task = batch(trainer.layout, tower64.text.feature_dim)
    mine = task == 1
    trainer.loss(image_features[mine], label[mine], task[mine])[0].backward()
    assert all(p.grad is None for p in trainer.model.tasks[0].parameters())
    assert all(p.grad is not None for p in trainer.model.tasks[1].parameters())


def test_testing_in_parts_gives_the_same_logits(workplace, tower64, monkeypatch):
    trainer = in_float64(workplace.trainer("CoCoOp"), tower64)
    image_features, _, task = batch(trainer.layout, tower64.text.feature_dim)
    with torch.no_grad():
        whole, _ = trainer.class_logits(image_features, task)
        monkeypatch.setattr("prompting.image_contexts.TEST_PROMPTS", 4)
        parts, _ = trainer.class_logits(image_features, task)
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-9)


def test_the_context_starts_as_words(workplace):
    trainer = workplace.trainer("CoCoOp")
    text = trainer.tower.text
    words = text.token_embedding.weight[text.vocabulary.encode("a photo of a")]
    assert all(torch.equal(task.ctx, words) for task in trainer.model.tasks)
    random = workplace.trainer("CoCoOp", "TRAINER.COCOOP.CTX_INIT", "", "TRAINER.COCOOP.N_CTX", "3")
    assert random.model.tasks[0].ctx.shape == (3, text.width)
    assert not torch.equal(random.model.tasks[0].ctx, random.model.tasks[1].ctx)


def test_a_shared_context_is_refused_in_one_line(workplace):
    with pytest.raises(InputError, match="TRAINER.COCOOP.CONTEXT .*'shared'"):
        workplace.trainer("CoCoOp", "TRAINER.COCOOP.CONTEXT", "shared")
