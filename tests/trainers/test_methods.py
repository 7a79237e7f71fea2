"""Each method from first principles in float64, and what it must not touch."""

import copy

import pytest
import torch
import torch.nn.functional as F

from prompting.prompts import lay_out
from prompting.reference import encode_plain
from prompting.tasks import Task, TaskLayout

# Classes of every task of a collection (facts of the published collections); names do not matter for counting.
COLLECTIONS = {
    "General-10": (100, 47, 10, 100, 101, 102, 37, 196, 397, 101),
    "Plant-6": (36, 5, 9, 15, 12, 39),
    "RS-8": (30, 45, 31, 45, 7, 10, 21, 19),
    "Fashion-20": (4,) * 18 + (3, 3),
}


def layout_of_sizes(sizes) -> TaskLayout:
    return TaskLayout(
        tuple(Task(f"task {t}", tuple(f"class {c}" for c in range(size))) for t, size in enumerate(sizes))
    )


def in_float64(trainer, tower64):
    """The trainer with the float64 tower and its learner rebuilt on it."""
    trainer.tower = tower64
    trainer.model = trainer.build_learner().double()
    trainer._packed.clear()
    torch.manual_seed(3)
    for parameter in trainer.model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return trainer


def batch(layout: TaskLayout, feature_dim: int):
    torch.manual_seed(4)
    label = torch.tensor([0, 4, 2, 3, 1, 4])
    return F.normalize(torch.randn(6, feature_dim, dtype=torch.float64), dim=-1), label, layout.task_of_class[label]


def loss_by_tasks(tower, layout, text_features, image_features, label, task):
    """The paper's loss as a sum over tasks: cross-entropy within each task, divided by the batch size."""
    total = 0.0
    for t in range(len(layout)):
        mine = task == t
        columns = list(layout.classes_of(t))
        cosine = F.cosine_similarity(image_features[mine].unsqueeze(1), text_features[columns].unsqueeze(0), dim=-1)
        total += F.cross_entropy(tower.logit_scale * cosine, label[mine] - columns[0], reduction="sum")
    return total / len(label)


@pytest.mark.parametrize("variant", ["NATA", "NATS"])
@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_softcpt_from_first_principles(workplace, tower64, variant, position):
    trainer = in_float64(
        workplace.trainer(
            "SoftCPT", "TRAINER.SOFTCPT.VARIANT", variant, "TRAINER.SOFTCPT.CLASS_TOKEN_POSITION", position
        ),
        tower64,
    )
    learner, layout, text = trainer.model, trainer.layout, tower64.text
    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)
    got = torch.autograd.grad(loss, list(learner.parameters()))

    u = learner.task_context.detach().clone().requires_grad_()
    w = learner.sub_network.weight.detach().clone().requires_grad_()
    assert u.shape == (2 if variant == "NATS" else 1, 4, 64) and w.shape == (48, 16 * 64)
    task_prompts = [
        lay_out(text.vocabulary, t.name, i if variant == "NATS" else 0, 4) for i, t in enumerate(layout.tasks)
    ]
    contexts = (encode_plain(text, task_prompts, u) @ w).reshape(2, 16, 64)
    class_prompts = [
        lay_out(text.vocabulary, name, i, 16, position) for i, t in enumerate(layout.tasks) for name in t.classnames
    ]
    expected = loss_by_tasks(tower64, layout, encode_plain(text, class_prompts, contexts), image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for a, b in zip(got, torch.autograd.grad(expected, [u, w]), strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


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


def test_the_meta_network_starts_as_published():
    torch.manual_seed(0)
    from prompting.meta_network import SubNetwork

    sub_network = SubNetwork(1024, 16, 512)
    assert sub_network.bias is None and float(sub_network.weight.detach().std()) == pytest.approx(0.02, rel=0.01)


def test_coop_per_task_trains_each_task_as_if_by_itself(workplace, tmp_path):
    """Joint training with a context per task gives, task by task, the very contexts of training on that task alone."""
    whole = ("DATALOADER.TRAIN_X.BATCH_SIZE", "32")  # so that both paths batch the same images
    joint = workplace.trainer("CoOp", *whole)
    start = copy.deepcopy(joint.model.state_dict())
    joint.train()
    for task, name in enumerate(("kinds", "colours")):
        text = workplace.declaration.read_text()
        first, second = text.index("  - name: kind"), text.index("  - name: colour")
        part = text[first:second] if name == "kinds" else text[second:]
        workplace.declaration.write_text("folder: tiny\ntasks:\n" + part)
        alone = workplace.trainer("CoOp", *whole, "OUTPUT_DIR", str(tmp_path / name))
        workplace.declaration.write_text(text)
        alone.model.load_state_dict({"ctx.0": start[f"ctx.{task}"]})
        alone.train()
        moved = (alone.model.ctx[0] - start[f"ctx.{task}"]).detach()
        assert moved.abs().max() > 0
        # Batches hold the same images in another order, so sums differ in the last bits.
        torch.testing.assert_close(
            joint.model.ctx[task], alone.model.ctx[0], rtol=0, atol=float(moved.abs().max()) * 1e-3
        )


@pytest.mark.parametrize("method", ["SoftCPT", "CoOp"])
def test_training_leaves_the_towers_bit_identical(workplace, method):
    trainer = workplace.trainer(method)
    before = copy.deepcopy(trainer.tower.state_dict())
    trainer.train()
    after = trainer.tower.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(p.requires_grad for p in trainer.tower.parameters()) and all(
        p.requires_grad for p in trainer.model.parameters()
    )
    assert all(p.grad is None for p in trainer.tower.parameters())
