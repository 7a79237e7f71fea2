"""Cases: backbones, networks, operations."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn as nn
from dassl.engine import SimpleNet
from dassl.modeling import BACKBONE_REGISTRY, NETWORK_REGISTRY, build_backbone, build_head, build_network, ops
from dassl.modeling.network import ddaig_fcn
from dassl.modeling.ops import optimal_transport
from dassl.modeling.ops import utils as op_utils
from dassl.utils import AverageMeter, MetricMeter, count_num_param, init_network_weights, set_random_seed

from .common import case, fill, numbers, shape_sum, wave_cfg


@contextlib.contextmanager
def unchecked_distributions() -> Iterator[None]:
    """MixStyle's Beta distribution checks the values of its parameters, which do not exist on the meta device."""
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(True)


@case
def state_dicts() -> dict:
    """Backbone or network -> its width, number of parameters, and a hash of their names and shapes.

    Skips EfficientNets, whose names are torchvision's, and some deep networks, which are slow.
    """
    found = {}
    with torch.device("meta"), unchecked_distributions(), contextlib.redirect_stdout(io.StringIO()):
        for name in BACKBONE_REGISTRY.registered_names():
            if not re.search("efficientnet|smallnet|101|_l12$", name):
                model = build_backbone(name, verbose=False, pretrained=False)
                found[name] = [model.out_features, count_num_param(model), shape_sum(model.state_dict())]
        for name in NETWORK_REGISTRY.registered_names():
            model = build_network(name, verbose=False)
            found[name] = [count_num_param(model), shape_sum(model.state_dict())]
    return found


SMALL = {
    "resnet18": 32,
    "resnet50": 32,
    "resnet18_ms_l12": 32,
    "resnet18_dynamic": 32,
    "resnet50_dynamic_ms_l1": 32,
    "wide_resnet_28_2": 32,
    "preact_resnet18": 32,
    "cnn_digitsdg": 32,
    "cnn_digitsingle": 32,
    "cnn_digit5_m3sda": 32,
}


@case
def drawn_weights() -> dict:
    """Backbone or network -> the sum of its seeded initial weights, and the next random number."""
    found = {}
    for name in [*(name for name in SMALL if "50" not in name), "fcn_3x32_gctx_stn"]:
        torch.manual_seed(1)
        with contextlib.redirect_stdout(io.StringIO()):
            build = build_network if name.startswith("fcn") else build_backbone
            model = build(name, verbose=False, pretrained=False)
        total = sum(value.double().abs().sum().item() for value in model.parameters())
        found[name] = [total, torch.rand(1).item()]
    return found


@case
def logits() -> dict:
    """Backbone -> logits of a ``SimpleNet`` in evaluation, and in training with seeded mixing."""
    found = {}
    for name, side in SMALL.items():
        with contextlib.redirect_stdout(io.StringIO()):
            changes: dict[str, Any] = (
                {} if "50" in name else {"MODEL__HEAD__NAME": "mlp", "MODEL__HEAD__HIDDEN_LAYERS": (6, 7)}
            )
            cfg = wave_cfg("x", MODEL__BACKBONE__NAME=name, MODEL__BACKBONE__PRETRAINED=False, **changes)
            model = fill(SimpleNet(cfg, cfg.MODEL, 4)).double()
        batch = numbers(4, 3, side, side)
        set_random_seed(5)
        evaluated = model.eval()(batch)
        features = model(batch, return_feature=True)[1]
        trained = model.train()(batch) if name != "cnn_digit5_m3sda" else evaluated  # it has dropout
        found[name] = [evaluated.tolist(), features.shape[1], features.mean(1).tolist(), trained.tolist()]
    return found


@case
def networks() -> dict:
    """Networks that perturb images -> image, perturbation and warped image; their initialisations."""
    found: dict[str, object] = {}
    for name in ("fcn_3x32_gctx", "fcn_3x32_gctx_stn", "fcn_3x64_gctx"):
        net = fill(build_network(name, verbose=False)).double().eval()
        outputs = net(numbers(2, 3, 32, 32), lmda=0.3, return_stn_output=True)
        found[name] = [part.mean((2, 3)).tolist() for part in outputs]
        assert len(net(numbers(2, 3, 32, 32), return_p=True)) == 2
    net = ddaig_fcn.FCN(3, 2, nc=4, n_blocks=1, padding_type="replicate", gctx=False, use_dropout=True)
    found["FCN"] = shape_sum(net.state_dict())
    for kind in ("normal", "xavier", "kaiming", "orthogonal"):
        for place, init in {"network": ddaig_fcn.init_network_weights, "utils": init_network_weights}.items():
            model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 4))
            torch.manual_seed(4)
            init(model, init_type=kind)
            found[f"{kind} {place}"] = [value.abs().sum().item() for value in model.parameters()]
    return found


def gradient(value: torch.Tensor) -> list:
    """Return the gradient of a leaf tensor as nested lists."""
    assert value.grad is not None
    return value.grad.tolist()


@case
def operations() -> dict:
    """Layers and functions of ``dassl.modeling.ops``, in double precision."""
    x, y, maps = numbers(6, 5), numbers(6, 5, start=40) + 0.2, numbers(6, 32, 5, 7)
    found: dict[str, object] = {}
    found["Attention"] = fill(ops.Attention(32, 3)).double()(maps).tolist()
    for size, stride, channels in ((3, 1, 32), (5, 2, 16)):
        conv = fill(ops.Conv2dDynamic(32, channels, size, stride, size // 2, squeeze=4)).double()
        found[f"Conv2dDynamic {size}"] = [shape_sum(conv.state_dict()), conv(maps).mean((2, 3)).tolist()]
    for norm_class, data in ((ops.TransNorm1d, x), (ops.TransNorm2d, maps)):
        for alpha in (True, False):
            norm = norm_class(data.shape[1], adaptive_alpha=alpha).double()
            trained, again = norm(data), norm(data * 2 + 1)
            running = {name: value.tolist() for name, value in norm.state_dict().items()}
            found[f"{norm_class.__name__} {alpha}"] = [
                [part.flatten(2).mean(2).tolist() if part.dim() == 4 else part.tolist() for part in parts]
                for parts in [(trained, again, norm.eval()(data))]
            ] + [running]
    for metric in ("cosine", "euclidean", "fast_euclidean"):
        for divergence_class in (ops.SinkhornDivergence, ops.MinibatchEnergyDistance):
            for through in (True, False):
                start = x.clone().requires_grad_()
                value = divergence_class(metric, eps=0.1, max_iter=7, bp_to_sinkhorn=through)(start, y)
                value.backward()
                found[f"{divergence_class.__name__} {metric} {through}"] = [value.item(), gradient(start)]
    found["plan"] = ops.SinkhornDivergence().transport_cost(x, y, return_pi=True)[1].tolist()
    found["distance"] = optimal_transport.OptimalTransport.distance(x, y).tolist()
    for kernel in ("linear", "poly", "rbf"):
        for normalize in (True, False):
            mmd = ops.MaximumMeanDiscrepancy(kernel, normalize)
            found[f"mmd {kernel} {normalize}"] = mmd(x, y).item()
    found["mmd parts"] = [mmd.poly_mmd(x, y, 0.5, 1.0, 3).item(), mmd.remove_self_distance(x @ y.t()).tolist()]
    for mixer_class in (ops.MixStyle, ops.EFDMix):
        for mix in ("random", "crossdomain"):
            set_random_seed(6)
            found[f"{mixer_class.__name__} {mix}"] = mixer_class(p=0.9, alpha=0.3, mix=mix)(maps).std((2, 3)).tolist()
    for order in (True, False):
        torch.manual_seed(8)
        mixed = ops.mixup(maps, maps.flip(0), x, y, 0.7, order)
        found[f"mixup {order}"] = [mixed[0].mean((1, 2, 3)).tolist(), mixed[1].tolist()]
    labels = torch.arange(6) % 5
    found["cross_entropy"] = [ops.cross_entropy(x, labels, 0.1, how).tolist() for how in ("mean", "sum", "none")]
    norm_by_domain = ops.DSBN2d(32, 3).double()
    norm_by_domain.select_bn(2)
    norm_by_domain(maps)
    state = norm_by_domain.state_dict()
    found["DSBN2d"] = [shape_sum(state), *(state[f"bn.{domain}.running_var"].tolist() for domain in (2, 0))]
    start = x.clone().requires_grad_()
    ops.ReverseGrad()(start, 0.3).pow(2).sum().backward()
    found["ReverseGrad"] = gradient(start)
    return found


@case
def small_functions() -> dict:
    """Functions of ``dassl.modeling.ops.utils``, heads and meters."""
    torch.manual_seed(2)
    shuffled = op_utils.shuffle_index(torch.arange(7), torch.arange(7))[1].tolist()
    average, current = nn.Linear(2, 2), fill(nn.Linear(2, 2))
    op_utils.ema_model_update(current, fill(average), 0.9)
    head = build_head("mlp", verbose=False, in_features=3, hidden_layers=[4, 2], bn=True, dropout=0.2)
    meter, single = MetricMeter(), AverageMeter()
    for value in (1.0, 4.0):
        meter.update({"loss": value, "acc": torch.tensor(value / 3)})
        single.update(value, 2)
    return {
        "sharpen_prob": op_utils.sharpen_prob(torch.tensor([[0.2, 0.5, 0.3]]), 3).tolist(),
        "reverse_index": [part.tolist() for part in op_utils.reverse_index(torch.arange(4), torch.arange(4))],
        "shuffle_index": shuffled,
        "onehot": op_utils.create_onehot(torch.tensor([1, 0, 2]), 4).tolist(),
        "rampups": [[op_utils.sigmoid_rampup(t, 5), op_utils.linear_rampup(t, 5)] for t in (-1, 0, 2, 5, 8)],
        "ema": average.weight.tolist(),
        "mlp": [shape_sum(head.state_dict()), head.out_features, [type(layer).__name__ for layer in head.mlp]],
        "meters": [str(meter), single.avg, single.val, single.sum, single.count],
    }
