"""Learning rates compared with a formula and with upstream's figures; optimizers by name."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn as nn
from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.optim.lr_scheduler import ConstantWarmupScheduler
from dassl.optim.radam import AdamW, RAdam
from torch.optim.lr_scheduler import CosineAnnealingLR

UPSTREAM = json.loads((Path(__file__).parent / "upstream_figures.json").read_text())["learning_rates"]["cases"]
BASE, GAMMA, EPOCHS, WARM = 0.002, 0.1, 8, 1e-5


def optim_cfg(schedule="cosine", stepsize=(-1,), warmup_epoch=-1, warmup_type="linear", recount=True):
    cfg = get_cfg_default().OPTIM
    cfg.NAME, cfg.LR, cfg.GAMMA, cfg.MAX_EPOCH = "sgd", BASE, GAMMA, EPOCHS
    cfg.LR_SCHEDULER, cfg.STEPSIZE = schedule, stepsize
    cfg.WARMUP_EPOCH, cfg.WARMUP_TYPE, cfg.WARMUP_RECOUNT = warmup_epoch, warmup_type, recount
    return cfg


def build(cfg):
    optimizer = build_optimizer(nn.Linear(1, 1), cfg)
    return optimizer, build_lr_scheduler(optimizer, cfg)


def run(optimizer, scheduler, epochs):
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        assert scheduler.get_last_lr() == [optimizer.param_groups[0]["lr"]]
    return rates


def decay(schedule, stepsize, start, epoch):
    """Return the schedule's factor at ``epoch`` if it starts with the full rate at epoch ``start``."""
    if schedule == "cosine":
        half = math.pi / EPOCHS
        if epoch <= EPOCHS:
            return (1 + math.cos(half * epoch)) / (1 + math.cos(half * start))
        return (1 + math.cos(half * epoch)) / 2  # after the last epoch PyTorch rises again from the full rate
    if schedule == "single_step":
        step = stepsize[-1] if stepsize[-1] > 0 else EPOCHS
        return GAMMA ** (epoch // step - start // step)
    return GAMMA ** sum(start < milestone <= epoch for milestone in stepsize)


def formula(epoch, schedule, stepsize, warmup_epoch, warmup_type, recount):
    if epoch < warmup_epoch:
        return WARM if warmup_type == "constant" or epoch == 0 else BASE * epoch / warmup_epoch
    first = max(warmup_epoch, 0)
    start = 0 if recount else first
    return BASE * decay(schedule, stepsize, start, start + epoch - first)


@pytest.mark.parametrize("case", UPSTREAM, ids=lambda case: "-".join(map(str, list(case.values())[:-1])))
def test_learning_rates(case):
    settings = {key: tuple(value) if key == "stepsize" else value for key, value in case.items() if key != "rates"}
    rates = run(*build(optim_cfg(**settings)), epochs=10)
    assert rates == pytest.approx([formula(epoch, **settings) for epoch in range(10)], abs=1e-12)
    assert rates == pytest.approx(case["rates"], rel=1e-6, abs=1e-12)


def test_building_a_warmup_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer, scheduler = build(optim_cfg(warmup_epoch=2))
        run(optimizer, scheduler, 5)
        ConstantWarmupScheduler(optimizer, CosineAnnealingLR(optimizer, 5), 1, 1e-5, -1, False)


@pytest.mark.parametrize("done", [1, 2, 5])
@pytest.mark.parametrize("schedule", ["cosine", "multi_step", "single_step"])
def test_a_warmup_continues_after_loading(schedule, done):
    cfg = optim_cfg(schedule, (2, 4), warmup_epoch=2)
    optimizer, scheduler = build(cfg)
    run(optimizer, scheduler, done)
    states = optimizer.state_dict(), scheduler.state_dict()
    assert isinstance(states[1]["successor"], dict)  # not a scheduler, which would include the optimizer
    expected = run(optimizer, scheduler, 4)

    optimizer, scheduler = build(cfg)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    assert scheduler.successor.optimizer is optimizer
    assert run(optimizer, scheduler, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    "change, error, pattern",
    [
        ({"LR_SCHEDULER": "cosin"}, ValueError, "OPTIM.LR_SCHEDULER .* cosin"),
        ({"LR_SCHEDULER": "single_step", "STEPSIZE": (2.5,)}, TypeError, "OPTIM.STEPSIZE"),
        ({"LR_SCHEDULER": "multi_step", "STEPSIZE": 3}, TypeError, "OPTIM.STEPSIZE"),
        ({"WARMUP_EPOCH": 1, "WARMUP_TYPE": "slow"}, ValueError, "OPTIM.WARMUP_TYPE .*slow"),
    ],
)
def test_invalid_schedules_are_reported(change, error, pattern):
    cfg = optim_cfg()
    for key, value in change.items():
        cfg[key] = value
    with pytest.raises(error, match=pattern):
        build(cfg)


@pytest.mark.parametrize(
    "name, optimizer_class, settings",
    [
        ("adam", torch.optim.Adam, {"amsgrad": False, "betas": (0.8, 0.9)}),
        ("amsgrad", torch.optim.Adam, {"amsgrad": True, "betas": (0.8, 0.9)}),
        ("sgd", torch.optim.SGD, {"momentum": 0.7, "nesterov": False}),
        ("rmsprop", torch.optim.RMSprop, {"momentum": 0.7, "alpha": 0.99}),
        ("radam", torch.optim.RAdam, {"betas": (0.8, 0.9), "decay": 5e-4}),
        ("adamw", torch.optim.AdamW, {"betas": (0.8, 0.9)}),
    ],
)
def test_optimizers(name, optimizer_class, settings):
    cfg = get_cfg_default().OPTIM
    cfg.NAME, cfg.MOMENTUM, cfg.ADAM_BETA1, cfg.ADAM_BETA2 = name, 0.7, 0.8, 0.9
    model = nn.Linear(2, 2)
    optimizer = build_optimizer(model, cfg)
    assert isinstance(optimizer, optimizer_class)
    group = optimizer.param_groups[0]
    assert {key: group[key] for key in settings} == settings
    assert (group["lr"], group["weight_decay"]) == (0.0003, 0 if name == "radam" else 5e-4)
    before = model.weight.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.weight)


def test_radam_follows_its_formula():
    """Compare ten steps with the paper's Algorithm 2, with decoupled weight decay."""
    cfg = get_cfg_default().OPTIM
    cfg.NAME, cfg.LR, cfg.WEIGHT_DECAY = "radam", 0.1, 0.01
    param = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build_optimizer([param], cfg)
    x, m, v, limit = 1.0, 0.0, 0.0, 2 / (1 - 0.999) - 1
    for t in range(1, 11):
        grad = math.sin(t)
        param.grad = torch.tensor([grad], dtype=torch.float64)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad * grad
        x *= 1 - 0.1 * 0.01
        length = limit - 2 * t * 0.999**t / (1 - 0.999**t)
        step = 0.1 * m / (1 - 0.9**t)
        if length > 5:
            rectifier = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            step *= math.sqrt(rectifier) * math.sqrt(1 - 0.999**t) / (math.sqrt(v) + 1e-8)
        x -= step
        assert param.item() == pytest.approx(x, rel=1e-5)


def test_new_layers_get_a_higher_learning_rate():
    model = nn.Sequential()
    model.add_module("base", nn.Linear(2, 2))
    model.add_module("head", nn.Linear(2, 3))
    cfg = get_cfg_default().OPTIM
    cfg.STAGED_LR, cfg.NEW_LAYERS = True, ("head",)
    slow, fast = build_optimizer(model, cfg).param_groups
    assert slow["lr"] == pytest.approx(0.00003) and fast["lr"] == 0.0003
    assert {id(p) for p in fast["params"]} == {id(p) for p in model.head.parameters()}
    with pytest.raises(TypeError, match="STAGED_LR"):
        build_optimizer(model.parameters(), cfg)


def test_parameters_can_be_passed_directly():
    cfg = get_cfg_default().OPTIM
    model = nn.Linear(2, 2)
    assert len(build_optimizer([model.weight], cfg).param_groups[0]["params"]) == 1
    assert build_optimizer(None, cfg, [{"params": [model.bias], "lr": 7.0}]).param_groups[0]["lr"] == 7.0
    cfg.NAME = "lion"
    with pytest.raises(ValueError, match="OPTIM.NAME .*lion"):
        build_optimizer(model, cfg)


@pytest.mark.parametrize(("optimizer_class", "key"), [(RAdam, "decay"), (AdamW, "warmup")])
def test_parameter_groups_added_later_have_all_settings(optimizer_class, key):
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = optimizer_class([first], lr=0.1, **{"weight_decay" if key == "decay" else key: 3})
    optimizer.add_param_group({"params": [second]})
    for parameter in (first, second):
        parameter.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.param_groups[1][key] == 3 and torch.equal(first, second)
