"""CLIP-Adapter from first principles in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from tests.support.methods import batch, batch_of_task, handwritten
from trainers.clip_adapter import Adapter


@pytest.fixture(params=["0.2", "0.7"])
def trainer(request, workplace, tower64):
    """In float64, with random weights."""
    trainer = workplace.trainer("CLIP-Adapter", "TRAINER.CLIPADAPTER.RATIO", request.param)
    trainer.tower = tower64
    trainer.model = trainer.build_learner().double()
    torch.manual_seed(3)
    for parameter in trainer.model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return trainer


def plain_logits(trainer, weights, image, task):
    """(classes of the task,) logits of one image, written out; ``weights`` holds (W1, W2) of every task."""
    (w1, w2), ratio = weights[task], trainer.cfg.TRAINER.CLIPADAPTER.RATIO
    hidden = (w1 @ image).clamp(min=0)
    output = (w2 @ hidden).clamp(min=0)
    blended = ratio * output + (1 - ratio) * image
    text = handwritten(trainer.layout, trainer.tower.text)[list(trainer.layout.classes_of(task))]
    return trainer.tower.logit_scale * torch.stack([F.cosine_similarity(blended, t, dim=0) for t in text])


def test_loss_gradients_and_predictions(trainer, tower64):
    layout = trainer.layout
    images, label, task = batch(layout, tower64.text.feature_dim)
    loss, _, _ = trainer.loss(images, label, task)
    leaf = [p.detach().clone().requires_grad_() for p in trainer.model.parameters()]
    weights = list(zip(leaf[::2], leaf[1::2], strict=True))
    rows = [plain_logits(trainer, weights, image, t) for image, t in zip(images, task.tolist(), strict=True)]
    losses = [F.cross_entropy(row, y - layout.offsets[t]) for row, y, t in zip(rows, label, task.tolist(), strict=True)]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    got = torch.autograd.grad(loss, list(trainer.model.parameters()))
    for a, b in zip(got, torch.autograd.grad(expected, leaf), strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    predicted = trainer.classifier()(images, task)
    for row, plain, t in zip(predicted, rows, task.tolist(), strict=True):
        torch.testing.assert_close(row[list(layout.classes_of(t))], plain)


def test_the_norm_of_an_image_feature_is_ignored():
    """The authors adapt features as the tower gives them, and we adapt features of unit norm."""
    torch.manual_seed(0)
    adapter, x = Adapter(16, 4, 0.2).double(), F.normalize(torch.randn(5, 16, dtype=torch.float64), dim=-1)
    target, results = torch.randn(5, 16, dtype=torch.float64), []
    for features in (x, x * torch.tensor([[0.3], [1.0], [2.0], [7.0], [12.0]])):
        output = adapter(features)
        results.append((output, *torch.autograd.grad((output * target).sum(), list(adapter.parameters()))))
    for a, b in zip(*results, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("task", [0, 1])
def test_a_batch_gives_other_tasks_no_gradient(trainer, task):
    images, label, tasks = batch_of_task(trainer.layout, trainer.tower.text.feature_dim, task)
    loss, _, _ = trainer.loss(images, label, tasks)
    for t, adapter in enumerate(trainer.model):
        got = torch.autograd.grad(loss, list(adapter.parameters()), allow_unused=True, retain_graph=True)
        assert all((g is not None) == (t == task) for g in got)


def test_each_task_is_trained_as_if_alone(workplace, tmp_path):
    whole = ("DATALOADER.TRAIN_X.BATCH_SIZE", "32")  # so that both batch the same images
    joint = workplace.trainer("CLIP-Adapter", *whole)
    start = copy.deepcopy(joint.model)
    joint.train()
    for task in (0, 1):
        words = (*whole, "DATASET.SUBSAMPLE_TASKS", f"task{task}", "OUTPUT_DIR", str(tmp_path / str(task)))
        alone = workplace.trainer("CLIP-Adapter", *words)
        alone.model[0].load_state_dict(start[task].state_dict())
        alone.train()
        pairs = zip(start[task].parameters(), alone.model[0].parameters(), joint.model[task].parameters(), strict=True)
        for before, expected, got in pairs:
            moved = float((expected - before).detach().abs().max())
            assert moved > 0
            # The order of images in a batch changes the last bits of sums.
            torch.testing.assert_close(got, expected, rtol=0, atol=moved * 1e-3)


def test_an_adapter_has_as_many_parameters_as_published(workplace):
    assert sum(p.numel() for p in Adapter(1024, 4, 0.2).parameters()) == 524_288
    adapters = workplace.trainer("CLIP-Adapter").model
    assert [tuple(p.shape) for p in adapters.parameters()] == [(12, 48), (48, 12)] * 2
    assert [adapter.ratio for adapter in adapters] == [0.2, 0.2]


@pytest.mark.parametrize("knob", ["REDUCTION 64", "REDUCTION 0", "RATIO 1.5"])
def test_values_out_of_range_are_one_line(workplace, knob):
    name, value = knob.split()
    with pytest.raises(InputError, match=f"TRAINER.CLIPADAPTER.{name} is {value}") as error:
        workplace.run("CLIP-Adapter", "run", f"TRAINER.CLIPADAPTER.{name}", value)
    assert "\n" not in str(error.value)
