"""SoftCPT in all variants, its sub-networks and class sampling, from first principles in float64."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.prompts import lay_out
from prompting.reference import encode_plain
from prompting.text_encoder import encode
from runs.config import load_config
from tests.support.methods import (
    COLLECTIONS,
    batch,
    in_float64,
    layout_of_sizes,
    loss_by_tasks,
    softcpt_features,
)
from tests.support.training import same_state
from trainers.softcpt import CLASS_SPECIFIC

MORE = [("STAR", "linear"), ("STAR", "mlp"), ("NATS", "mlp")] + [
    (variant, kind) for variant in CLASS_SPECIFIC for kind in ("linear", "linmean", "lincls", "mlp")
]


def knobs(**values) -> list[str]:
    return [word for key, value in values.items() for word in (f"TRAINER.SOFTCPT.{key}", str(value))]


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


def test_the_meta_network_starts_as_published():
    torch.manual_seed(0)
    from prompting.meta_network import SubNetwork

    sub_network = SubNetwork(1024, 16, 512)
    assert sub_network.bias is None and float(sub_network.weight.detach().std()) == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize(("variant", "kind"), MORE)
def test_from_first_principles(workplace, tower64, variant, kind):
    position = "middle" if kind == "linear" else "end"
    flags = knobs(VARIANT=variant, SUB_NETWORK=kind, CLASS_TOKEN_POSITION=position)
    trainer = in_float64(workplace.trainer("SoftCPT", *flags), tower64)
    layout, text = trainer.layout, tower64.text
    shapes = {name: tuple(p.shape) for name, p in trainer.model.named_parameters()}
    want = {"task_context": (2 if variant.endswith("TS") else 1, 4, 64)}
    if variant == "STAR" or kind == "lincls":
        del want["task_context"]
    if variant in CLASS_SPECIFIC:
        want["class_context"] = (5 if variant.startswith("CS") else 1, 4, 64)
    width = 96 if variant in CLASS_SPECIFIC and kind in ("linear", "mlp") else 48
    if kind == "mlp":
        want |= {"sub_network.hidden_weight": (width, 32), "sub_network.hidden_bias": (32,)}
        width = 32
    want["sub_network.weight"] = (width, 16 * 64)
    if variant == "STAR" or kind == "mlp":
        want["sub_network.bias"] = (16 * 64,)
    assert shapes == want

    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)
    features, leaf = softcpt_features(text, layout, trainer.model, variant, kind, position)
    expected = loss_by_tasks(tower64, layout, features, image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    names = list(leaf)
    got = torch.autograd.grad(loss, [trainer.model.get_parameter(name) for name in names])
    for name, a, b in zip(names, got, torch.autograd.grad(expected, list(leaf.values())), strict=True):
        assert b.abs().max() > 0, name
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_a_batch_of_one_task_needs_only_its_classes(workplace, tower64):
    trainer = in_float64(workplace.trainer("SoftCPT", *knobs(VARIANT="CSTS")), tower64)
    image_features, label, task = batch(trainer.layout, tower64.text.feature_dim)
    mine = task == 1
    loss, logits, _ = trainer.loss(image_features[mine], label[mine], task[mine])
    assert trainer.tasks_to_encode(task[mine]) == [1] and logits.shape[1] == 2
    features, leaf = softcpt_features(tower64.text, trainer.layout, trainer.model, "CSTS", "linear", "end")
    expected = loss_by_tasks(tower64, trainer.layout, features, image_features[mine], label[mine], task[mine])
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    got = torch.autograd.grad(loss, trainer.model.class_context)[0]
    torch.testing.assert_close(got, torch.autograd.grad(expected, leaf["class_context"])[0], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("variant", CLASS_SPECIFIC)
def test_sampled_classes_alone_take_part(workplace, tower64, variant):
    """Loss and gradient are those of tasks that have the sampled classes only; the others are not even encoded."""
    trainer = in_float64(workplace.trainer("SoftCPT", *knobs(VARIANT=variant, CLASS_SAMPLE_RATE=0.1)), tower64)
    layout = trainer.layout
    image_features = batch(layout, tower64.text.feature_dim)[0][:3]
    label = torch.tensor([0, 3, 0])
    task = layout.task_of_class[label]
    seen = set()
    for _ in range(20):
        chosen = trainer.classes_to_encode(label, task)
        assert len(chosen) == 4 and {0, 3, 4} < set(chosen)  # ceil(0.1 * 2) of 1 and 2, ceil(0.1 * 1) of 4
        seen.add(tuple(chosen))
    assert len(seen) == 2

    torch.manual_seed(9)
    chosen = trainer.classes_to_encode(label, task)
    torch.manual_seed(9)
    loss, logits, column = trainer.loss(image_features, label, task)
    assert logits.shape == (3, 4) and [chosen[c] for c in column] == label.tolist()
    features, leaf = softcpt_features(tower64.text, layout, trainer.model, variant, "linear", "end")
    scaled = tower64.logit_scale * image_features @ torch.nn.functional.normalize(features, dim=1).t()
    total = 0.0
    for row, (y, t) in enumerate(zip(label.tolist(), task.tolist(), strict=True)):
        mine = [c for c in chosen if c in layout.classes_of(t)]
        total = total + torch.logsumexp(scaled[row, mine], 0) - scaled[row, y]
    torch.testing.assert_close(loss, total / 3, rtol=1e-9, atol=1e-9)
    names = list(leaf)
    got = torch.autograd.grad(loss, [trainer.model.get_parameter(name) for name in names])
    for a, b in zip(got, torch.autograd.grad(total / 3, list(leaf.values())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    if variant.startswith("CS"):
        (left_out,) = set(range(5)) - set(chosen)
        assert not got[names.index("class_context")][left_out].any()


def test_how_many_classes_are_sampled(workplace):
    trainer = workplace.trainer("SoftCPT", *knobs(VARIANT="CATA", CLASS_SAMPLE_RATE=0.1))
    trainer.layout = layout_of_sizes(COLLECTIONS["General-10"])
    label = torch.tensor([0, 1, 0, 1190])
    chosen = trainer.classes_to_encode(label, trainer.layout.task_of_class[label])
    assert chosen == sorted(set(chosen)) and {0, 1, 1190} < set(chosen)
    assert sum(c < 100 for c in chosen) == 2 + math.ceil(9.8) and sum(c >= 1090 for c in chosen) == 1 + 10
    assert len(chosen) == 12 + 11  # tasks that are not in the batch take no part
    trainer.model.class_specific = False
    assert trainer.classes_to_encode(label, trainer.layout.task_of_class[label]) is None


def test_class_sampling_is_on_for_general10_only():
    for name, rate in (("general10", 0.1), ("plant6", 0.0)):
        assert load_config(name, "SoftCPT").TRAINER.SOFTCPT.CLASS_SAMPLE_RATE == rate


def test_what_needs_no_gradient_is_encoded_once(workplace, monkeypatch):
    import prompting.meta_network

    calls = []
    monkeypatch.setattr(prompting.meta_network, "encode", lambda *args: calls.append(1) or encode(*args))
    trainer = workplace.trainer("SoftCPT", *knobs(VARIANT="STAR"))
    for tasks in ([0], [0, 1], [1]):
        assert trainer.text_features(tasks)[0].requires_grad
    assert len(calls) == 1


@pytest.mark.parametrize(("variant", "kind"), [("CATS", "linmean"), ("CSTS", "mlp")])
def test_a_run_with_sampled_classes(workplace, variant, kind):
    """Sampling draws from the seed: a second run learns and predicts the same."""
    flags = knobs(VARIANT=variant, SUB_NETWORK=kind, CLASS_SAMPLE_RATE=0.5)
    results = [workplace.run("SoftCPT", name, *flags) for name in ("first", "second")]
    assert results[0]["method"] == f"SoftCPT-{variant}" and results[0]["tasks"] == results[1]["tasks"]
    assert same_state(workplace.learned("first", 3), workplace.learned("second", 3))
    start = workplace.trainer("SoftCPT", *flags).model.state_dict()
    assert not any(torch.equal(value, start[key]) for key, value in workplace.learned("first", 3).items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"VARIANT": "CSTX"}, "TRAINER.SOFTCPT.VARIANT 'CSTX' is unknown; did you mean"),
        ({"SUB_NETWORK": "linmen"}, "TRAINER.SOFTCPT.SUB_NETWORK 'linmen' is unknown; did you mean 'linmean'"),
        ({"SUB_NETWORK": "lincls"}, "lincls .*NATA .*CATA, CATS, CSTA, CSTS"),
        ({"VARIANT": "STAR", "SUB_NETWORK": "linmean"}, "linmean .*STAR .*CATA, CATS, CSTA, CSTS"),
        ({"CLASS_SAMPLE_RATE": "1.5"}, "CLASS_SAMPLE_RATE is 1.5; it must be at least 0 and at most 1"),
        ({"CLASS_N_CTX": "-1"}, "CLASS_N_CTX is -1; it must be at least 0"),
    ],
)
def test_bad_settings_are_one_line(workplace, flags, message):
    with pytest.raises(InputError, match=message) as caught:
        workplace.trainer("SoftCPT", *knobs(**flags))
    assert "\n" not in str(caught.value)


def test_the_released_schedule_runs_down_up_and_down():
    from dassl.optim import build_lr_scheduler

    cfg = load_config("plant6", "SoftCPT", config="rn50_ep50_released")
    assert (cfg.MODEL.BACKBONE.NAME, cfg.OPTIM.STEPS_PER_EPOCH) == ("RN50", 3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.OPTIM.LR)
    scheduler, rates = build_lr_scheduler(optimizer, cfg.OPTIM), []
    for _ in range(cfg.OPTIM.MAX_EPOCH):
        rates.append(optimizer.param_groups[0]["lr"])
        for _ in range(cfg.OPTIM.STEPS_PER_EPOCH):
            optimizer.step()
            scheduler.step()
    turns = [a < b for a, b in zip(rates[1:], rates[2:], strict=False)]
    assert rates[0] == 1e-5 and sum(a != b for a, b in zip(turns, turns[1:], strict=False)) == 2
    assert min(rates[1:]) < 1e-5 and rates[34] > 0.99 * rates[1] and not turns[0] and not turns[-1]


@pytest.mark.parametrize(("variant", "steps"), [("NATA", 3), ("CSTS", 4)])
def test_24_batches_as_the_released_code_trains_them(workplace, tower64, variant, steps):
    """An independent loop: SGD and schedule stepped as often as the released code registers them, by hand."""
    flags = knobs(VARIANT=variant), ["OPTIM.STEPS_PER_EPOCH", str(steps), "OPTIM.STEPS_PER_BATCH", str(steps)]
    trainer = in_float64(workplace.trainer("SoftCPT", *sum(flags, []), "OPTIM.LR", "0.2", epochs=6), tower64)
    layout, optim = trainer.layout, trainer.cfg.OPTIM
    theirs = copy.deepcopy(trainer.model)
    (name,) = trainer.get_model_names()
    trainer._models[name] = trainer.model
    trainer._optims[name], trainer._scheds[name] = trainer.make_optimizer()
    momentum = {key: torch.zeros_like(p) for key, p in theirs.named_parameters()}
    start = {key: p.detach().clone() for key, p in theirs.named_parameters()}
    trainer.image_features = lambda batch: batch["features"]
    trainer.num_batches = 4
    for number in range(24):
        torch.manual_seed(100 + number)
        label = torch.randint(layout.n_classes, (6,))
        image_features = F.normalize(torch.randn(6, tower64.text.feature_dim, dtype=torch.float64), dim=-1)
        trainer.batch_idx = number % 4
        trainer.forward_backward({"label": label, "features": image_features})

        features, leaf = softcpt_features(tower64.text, layout, theirs, variant, "linear", "end")
        loss = loss_by_tasks(tower64, layout, features, image_features, label, layout.task_of_class[label])
        gradients = dict(zip(leaf, torch.autograd.grad(loss, list(leaf.values())), strict=True))
        position = number // 4 * steps  # of the schedule: one step of warm-up, then the cosine of 6 epochs
        rate = 1e-5 if position == 0 else optim.LR / 2 * (1 + math.cos(math.pi * (position - 1) / optim.MAX_EPOCH))
        with torch.no_grad():
            for _ in range(steps):
                for key, p in theirs.named_parameters():
                    momentum[key] = optim.MOMENTUM * momentum[key] + gradients[key] + optim.WEIGHT_DECAY * p
                    p -= rate * momentum[key]
    for key, p in trainer.model.named_parameters():
        way = (theirs.get_parameter(key) - start[key]).norm()
        assert way > 1e-3 and (p - theirs.get_parameter(key)).norm() < 1e-6 * way, key


@pytest.mark.parametrize(
    ("config", "steps"), [("rn50_ep50_released", 3), ("rn50_ep50_released_cs", 4), ("garden_vit_ep50_released", 3)]
)
def test_released_configs(config, steps):
    optim = load_config("plant6", "SoftCPT", config=config).OPTIM
    assert (optim.STEPS_PER_EPOCH, optim.STEPS_PER_BATCH) == (steps, steps)
