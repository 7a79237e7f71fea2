"""PLOT from first principles: transport plans, local features, loss and gradient; whole runs."""

import re

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.local_features import encode_local
from prompting.prompts import lay_out
from prompting.reference import encode_plain
from prompting.towers import Tower, load_tower
from tests.support.methods import in_float64
from trainers.plot import sinkhorn


def plan_by_hand(cost, eps, iterations):
    """One problem, in logarithms: potentials f, g fitted in turns."""
    m, n = cost.shape
    f, g = torch.zeros(m, dtype=cost.dtype), torch.zeros(n, dtype=cost.dtype)
    for _ in range(iterations):
        f = -eps * (torch.logsumexp((g - cost) / eps, 1) + torch.log(torch.tensor(float(m))))
        g = -eps * (torch.logsumexp((f.unsqueeze(1) - cost) / eps, 0) + torch.log(torch.tensor(float(n))))
    return torch.exp((f.unsqueeze(1) + g - cost) / eps)


def test_plans_are_those_of_an_independent_computation():
    torch.manual_seed(0)
    cost = torch.rand(5, 7, 3, dtype=torch.float64) * 2
    exact = sinkhorn(cost, 0.1, 5000, 0.0)
    torch.testing.assert_close(exact.sum(2), torch.full((5, 7), 1 / 7, dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close(exact.sum(1), torch.full((5, 3), 1 / 3, dtype=torch.float64), rtol=1e-9, atol=0)
    for count in (1, 4, 5000):
        got = sinkhorn(cost, 0.1, count, 0.0)
        for plan, c in zip(got, cost, strict=True):
            torch.testing.assert_close(plan, plan_by_hand(c, 0.1, count), rtol=1e-6, atol=1e-12)
    stopped = sinkhorn(cost, 0.1, 100, 0.01)
    assert 0 < (stopped - exact).abs().max() < 0.01


def test_plans_do_not_depend_on_how_many_iterations_are_queued():
    """As on a GPU, where the host does not ask after each iteration whether to stop."""
    cost = torch.rand(6, 5, 4, generator=torch.Generator().manual_seed(0))
    for threshold in (0.0, 1e-3, 1e-2, 10.0):
        expected = sinkhorn(cost, 0.1, 20, threshold)
        for queued in (2, 3, 7, 20, 50):
            assert torch.equal(sinkhorn(cost, 0.1, 20, threshold, queued), expected), (threshold, queued)


def test_one_context_averages_the_cosines():
    """With a single column every plan is uniform."""
    plan = sinkhorn(torch.rand(2, 5, 1, dtype=torch.float64), 0.1, 100, 0.01)
    torch.testing.assert_close(plan, torch.full_like(plan, 1 / 5))


def local_batch(layout, tower64):
    torch.manual_seed(4)
    label = torch.tensor([0, 4, 2, 3, 1, 4])
    images = torch.randn(6, 3, 32, 32, dtype=torch.float64)
    return encode_local(tower64, images), label, layout.task_of_class[label]


def test_plot_from_first_principles(workplace, tower64):
    trainer = in_float64(workplace.trainer("PLOT", "TRAINER.PLOT.THRESHOLD", "0.0"), tower64)
    layout, text = trainer.layout, tower64.text
    x, label, task = local_batch(layout, tower64)
    loss, _, _ = trainer.loss(x, label, task)
    got = torch.stack(torch.autograd.grad(loss, list(trainer.model.parameters())))

    v = torch.stack([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    assert v.shape == (2, 4, 16, 64) and x.shape == (6, 16, 48)
    total = 0.0
    for image, y, t in zip(x, label.tolist(), task.tolist(), strict=True):
        row = []
        for name in layout.tasks[t].classnames:
            w = encode_plain(text, [lay_out(text.vocabulary, name, k, 16) for k in range(4)], v[t])
            similarity = F.cosine_similarity(image.unsqueeze(1), w.unsqueeze(0), dim=-1)
            plan = plan_by_hand(1 - similarity.detach(), 0.1, 100)
            row.append(tower64.logit_scale * (plan * similarity).sum())
        total = total + F.cross_entropy(torch.stack(row), torch.tensor(y - layout.offsets[t]))
    expected = total / len(label)
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    wanted = torch.autograd.grad(expected, v)[0]
    assert wanted.flatten(1).abs().amax(1).min() > 0
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-9)


def test_testing_in_parts_gives_the_same_logits(workplace, tower64, monkeypatch):
    trainer = in_float64(workplace.trainer("PLOT", "TRAINER.PLOT.THRESHOLD", "0.0"), tower64)
    x, _, task = local_batch(trainer.layout, tower64)
    with torch.no_grad():
        whole, _ = trainer.class_logits(x, task)
        monkeypatch.setattr("prompting.transport.TEST_VALUES", 1)
        parts, _ = trainer.class_logits(x, task, trainer.text_features(range(len(trainer.layout))))
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-9)


def test_local_features_of_a_vision_transformer(tower):
    torch.manual_seed(0)
    images, visual, tokens = torch.randn(3, 3, 32, 32), tower.visual, []
    handle = visual.transformer.resblocks[-1].register_forward_hook(lambda _, given, out: tokens.append(out))
    visual(images)
    handle.remove()
    states = F.layer_norm(tokens[0], (64,), visual.ln_post.weight, visual.ln_post.bias).transpose(0, 1) @ visual.proj
    states = states / states.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(encode_local(tower, images), states[:, 1:], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(tower.encode_image(images), states[:, 0], rtol=1e-5, atol=1e-6)


def test_local_features_of_a_resnet(resnet):
    tower = load_tower(str(resnet))
    torch.manual_seed(0)
    images, pool, given = torch.randn(2, 3, 64, 64), tower.visual.attnpool, []
    handle = pool.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    tower.visual(images)
    handle.remove()
    maps = given[0]
    assert maps.shape[2:] == (2, 2)
    tokens = torch.cat([maps.mean((2, 3)).unsqueeze(1), maps.flatten(2).transpose(1, 2)], 1) + pool.positional_embedding
    heads = []
    asked = (project(tokens).chunk(pool.num_heads, -1) for project in (pool.q_proj, pool.k_proj, pool.v_proj))
    for q, k, v in zip(*asked, strict=True):
        heads.append(torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1) @ v)
    expected = F.normalize(pool.c_proj(torch.cat(heads, -1)), dim=-1)
    torch.testing.assert_close(encode_local(tower, images), expected[:, 1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tower.encode_image(images), expected[:, 0], rtol=1e-4, atol=1e-5)


class AveragedMap(torch.nn.Module):
    """An OpenCLIP image tower that averages a feature map, as far as local features look at it."""

    def __init__(self):
        super().__init__()
        self.trunk, self.head = torch.nn.Module(), torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(8, 48))
        self.trunk.forward_features = torch.nn.Conv2d(3, 8, 4, stride=4)
        self.trunk.global_pool = torch.nn.Module()
        self.trunk.global_pool.pool_type = "avg"

    def forward(self, images):
        return self.head(self.trunk.forward_features(images).mean((2, 3)))


def test_local_features_of_an_averaged_map(tower):
    torch.manual_seed(0)
    other = Tower("open_clip:x@y", AveragedMap(), tower.text, 100.0, tower.preprocessing)
    images = torch.randn(2, 3, 16, 16)
    got = encode_local(other, images)
    maps = other.visual.trunk.forward_features(images)
    linear = other.visual.head[1]
    for place, (row, column) in enumerate((r, c) for r in range(4) for c in range(4)):
        expected = F.normalize(maps[:, :, row, column] @ linear.weight.t() + linear.bias, dim=-1)
        torch.testing.assert_close(got[:, place], expected, rtol=1e-5, atol=1e-6)
    assert got.shape == (2, 16, 48)


def test_whole_runs(workplace, resnet):
    results = workplace.run("PLOT", "vit", epochs=2)
    assert results["counts"]["trainable_parameters"] == 2 * 4 * 16 * 64
    assert not list(workplace.output.glob(".bank/*.features"))
    assert re.search("PLOT .* bank", (workplace.output / "vit" / "log.txt").read_text())
    results = workplace.run(
        "PLOT", "resnet", "MODEL.BACKBONE.NAME", str(resnet), "INPUT.SIZE", "(64, 64)", "TRAINER.PLOT.N", "2", epochs=1
    )
    assert results["counts"]["trainable_parameters"] == 2 * 2 * 16 * 64


def test_a_tower_without_local_features_is_refused_in_one_line(tower):
    other = Tower("open_clip:x@y", torch.nn.Linear(1, 1), tower.text, 100.0, tower.preprocessing)
    with pytest.raises(InputError, match="open_clip:x@y'.*local features"):
        encode_local(other, torch.zeros(1, 3, 32, 32))


def test_a_resnet_in_bfloat16(workplace, resnet):
    """Probabilities and gradients are those of float32; test_contract.py compares runs on a vision transformer."""
    words = ("MODEL.BACKBONE.NAME", str(resnet), "INPUT.SIZE", "(64, 64)")
    torch.manual_seed(0)
    images, label = torch.randn(8, 3, 64, 64), torch.tensor([0, 3, 1, 4, 2, 3, 0, 4])
    found = []
    for precision in ("fp32", "bf16"):
        trainer = workplace.trainer("PLOT", *words, "TRAINER.PLOT.PREC", precision)
        task = trainer.task_of_class[label]
        loss, logits, _ = trainer.loss(trainer.encode_images(images), label, task)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
        found.append((trainer.tower.dtype, logits.float().softmax(1), gradient))
    (_, expected, wanted), (dtype, got, gradient) = found
    assert dtype == torch.bfloat16 and wanted.norm() > 0
    torch.testing.assert_close(got, expected, rtol=0, atol=0.01)  # measured: 0.0012
    assert (gradient - wanted).norm() < 0.2 * wanted.norm()  # measured: 0.025


@pytest.mark.parametrize(("key", "value"), [("N", "0"), ("MAX_ITER", "0"), ("EPS", "0.01")])
def test_bad_settings_are_one_line(workplace, key, value):
    with pytest.raises(InputError, match=f"TRAINER.PLOT.{key} is"):
        workplace.trainer("PLOT", f"TRAINER.PLOT.{key}", value)
