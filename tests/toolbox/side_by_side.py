"""What Dassl does, as figures: each function here uses names that upstream 0.6.3 and this distribution share.

``upstream_behaviour.json`` holds what upstream gives. To make it anew, with upstream's ``dassl`` importable, on a
PyTorch that it runs on (2.1, with scikit-learn, and stand-ins for its data sets' own packages):

    python tests/toolbox/side_by_side.py > tests/toolbox/upstream_behaviour.json
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import os.path as osp
import random
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn as nn
from dassl.config import get_cfg_default
from dassl.data import DataManager
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.data.samplers import build_sampler
from dassl.data.transforms import build_transform, randaugment
from dassl.engine import TRAINER_REGISTRY, SimpleNet, TrainerX, build_trainer
from dassl.evaluation import build_evaluator
from dassl.metrics import compute_accuracy, compute_distance_matrix
from dassl.modeling import BACKBONE_REGISTRY, NETWORK_REGISTRY, Backbone, build_backbone, build_head, build_network, ops
from dassl.modeling.ops import optimal_transport
from dassl.modeling.ops import utils as op_utils
from dassl.optim import build_lr_scheduler, build_optimizer, radam
from dassl.utils import AverageMeter, MetricMeter, count_num_param, init_network_weights, set_random_seed
from PIL import Image
from torch.nn import functional as F

CASES: dict[str, Callable[[], object]] = {}


def case(function: Callable[[], object]) -> Callable[[], object]:
    """Enter a function whose result is compared."""
    CASES[function.__name__] = function
    return function


def numbers(*shape: int, start: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Values between -1 and 1 that no random generator gives, so that no version changes them."""
    count = math.prod(shape)
    return torch.sin(torch.arange(start, start + count, dtype=torch.float64) * 1.7).view(shape).to(dtype)


def fill(module: nn.Module) -> nn.Module:
    """Small weights that depend on their place in the state dict; variances of batch norm stay positive."""
    with torch.no_grad():
        for place, (name, value) in enumerate(sorted(module.state_dict().items())):
            if value.is_floating_point():
                drawn = numbers(997, start=place, dtype=value.dtype).repeat(value.numel() // 997 + 1)
                drawn = drawn[: value.numel()].view(value.shape)
                value.copy_(1 + drawn / 2 if "var" in name else drawn * (2 / max(1, value[0].numel())) ** 0.5)
    return module


def images(folder: str) -> list[Datum]:
    """36 images of 30 x 26 pixels: three classes in four domains."""
    items = []
    y, x = np.mgrid[0:26, 0:30]
    for number in range(36):
        label, domain = number % 3, number // 3 % 4
        planes = [127 + 120 * np.sin((x * (label + 1) + y * (channel + 1) + 5 * number) / 9) for channel in range(3)]
        path = osp.join(folder, f"{number:02}.png")
        Image.fromarray(np.stack(planes, -1).astype(np.uint8)).save(path)
        items.append(Datum(path, label, domain, ("red", "green", "blue")[label]))
    return items


class TinyNet(Backbone):
    """Eight features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, stride=8)
        self.norm = nn.BatchNorm2d(8)
        self._out_features = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).relu().mean((2, 3))


def tinynet(pretrained: bool = True, **kwargs: object) -> TinyNet:
    """A registered backbone."""
    return TinyNet()


class Waves(DatasetBase):
    """A registered data set of the images in DATASET.ROOT."""

    def __init__(self, cfg: object) -> None:
        items = images(cfg.DATASET.ROOT)
        train = self.generate_fewshot_dataset(items, num_shots=cfg.DATASET.NUM_SHOTS)
        super().__init__(train_x=train, train_u=items[:24], val=items[::2], test=items)


class WaveTrainer(TrainerX):
    """Cross entropy; keeps losses and learning rates."""

    def forward_backward(self, batch: dict) -> dict:
        images, labels, _ = self.parse_batch_train(batch)
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels)
        self.model_backward_and_update(loss)
        self.kept = [*getattr(self, "kept", []), [loss.item(), self.get_current_lr()]]
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(logits, labels)[0].item()}


def wave_cfg(folder: str, **changes: object) -> object:
    """A configuration for ``Waves`` and ``WaveTrainer``; ``changes`` have dots written as two underscores."""
    cfg = get_cfg_default()
    cfg.merge_from_list(
        ["DATASET.NAME", "Waves", "DATASET.ROOT", folder, "OUTPUT_DIR", folder, "USE_CUDA", False]
        + ["INPUT.SIZE", (24, 24), "DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 8]
        + ["MODEL.BACKBONE.NAME", "tinynet", "OPTIM.NAME", "sgd", "OPTIM.LR", 0.1, "OPTIM.MAX_EPOCH", 3]
        + ["OPTIM.LR_SCHEDULER", "cosine", "TRAINER.NAME", "WaveTrainer"]
        + [part for key, value in changes.items() for part in (key.replace("__", "."), value)]
    )
    return cfg


def register() -> None:
    """Enter this file's data set, backbone and trainer."""
    DATASET_REGISTRY.register(Waves, force=True)
    BACKBONE_REGISTRY.register(tinynet, force=True)
    TRAINER_REGISTRY.register(WaveTrainer, force=True)


def said(text: str, folder: str) -> list[str]:
    """Lines without folders, times and the rest of what a machine puts in."""
    lines = [re.sub(r"(time|data|eta|Elapsed:?) [\d.:]+( \([\d.]+\))?", r"\1 *", line) for line in text.splitlines()]
    return [line.replace(folder, "FOLDER") for line in lines if "rocessor" not in line]


@case
def learning_rates() -> dict:
    """Schedule, warm-up and their settings -> the learning rate of nine epochs."""
    found = {}
    for name, stepsize in (("single_step", (3,)), ("multi_step", (2, 5)), ("cosine", (-1,))):
        for warmup, kind in ((-1, "linear"), (2, "constant"), (3, "linear")):
            for recount in (True, False):
                for low in (1e-5, 3e-3):
                    cfg = get_cfg_default().OPTIM
                    cfg.NAME, cfg.LR, cfg.MAX_EPOCH, cfg.GAMMA, cfg.LR_SCHEDULER = "sgd", 0.05, 7, 0.3, name
                    cfg.STEPSIZE, cfg.WARMUP_EPOCH, cfg.WARMUP_TYPE, cfg.WARMUP_RECOUNT = (
                        stepsize,
                        warmup,
                        kind,
                        recount,
                    )
                    cfg.WARMUP_CONS_LR = cfg.WARMUP_MIN_LR = low
                    optimizer = build_optimizer(nn.Linear(1, 1), cfg)
                    scheduler = build_lr_scheduler(optimizer, cfg)
                    rates = []
                    for _ in range(9):
                        rates.append(optimizer.param_groups[0]["lr"])
                        optimizer.step()
                        scheduler.step()
                    found[f"{name} warmup={warmup} {kind} recount={recount} low={low}"] = rates
    return found


@case
def learning_rates_resumed() -> dict:
    """Without warm-up, four epochs and then, in new objects with the old ones' state, five more."""
    found = {}
    for name, stepsize in (("single_step", (3,)), ("multi_step", (2, 5)), ("cosine", (-1,))):
        cfg = get_cfg_default().OPTIM
        cfg.NAME, cfg.LR, cfg.MAX_EPOCH, cfg.LR_SCHEDULER, cfg.STEPSIZE = "sgd", 0.05, 7, name, stepsize
        state, rates = None, []
        for epochs in (4, 5):
            optimizer = build_optimizer(nn.Linear(1, 1), cfg)
            scheduler = build_lr_scheduler(optimizer, cfg)
            if state:
                optimizer.load_state_dict(state[0])
                scheduler.load_state_dict(state[1])
            for _ in range(epochs):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
            state = optimizer.state_dict(), scheduler.state_dict()
        found[name] = rates
    return found


@case
def few_shots() -> dict:
    """Shots -> the images drawn for training and validation."""
    items = [
        SimpleNamespace(impath=str(i), label=7 * i % 5, domain=0, classname=str(7 * i % 5), index=i) for i in range(40)
    ]
    dataset = DatasetBase(train_x=items, test=items)
    found = {}
    for shots, repeat in ((1, False), (2, True), (8, False), (12, True), (-1, False)):
        random.seed(shots)
        pair = dataset.generate_fewshot_dataset(items, items[5:30], num_shots=shots, repeat=repeat)
        found[f"{shots} {repeat}"] = [[item.index for item in part] for part in pair]
    return found


@case
def sampler_orders() -> dict:
    """Sampler, batch size, domains, instances -> length, and two epochs' orders."""
    items = [SimpleNamespace(label=i * i % 7 % 4, domain=3 * i % 4 if i % 9 else 0) for i in range(48)]
    found = {}
    for name, batch, domains, instances in (
        ("RandomSampler", 4, 0, 0),
        ("SequentialSampler", 4, 0, 0),
        ("RandomDomainSampler", 6, 3, 0),
        ("RandomDomainSampler", 8, -1, 0),
        ("SeqDomainSampler", 8, 0, 0),
        ("RandomClassSampler", 6, 0, 3),
        ("RandomClassSampler", 8, 0, 16),
    ):
        set_random_seed(3)
        try:
            sampler = build_sampler(
                name, cfg=None, data_source=items, batch_size=batch, n_domain=domains, n_ins=instances
            )
        except (AssertionError, ValueError):
            found[f"{name} {batch} {domains} {instances}"] = "refused"
            continue
        found[f"{name} {batch} {domains} {instances}"] = [len(sampler), list(sampler), list(sampler)]
    return found


TRANSFORMS = (
    ("random_flip", "random_resized_crop", "normalize"),
    ("random_flip", "random_translation", "normalize"),
    ("random_flip", "random_crop", "normalize", "cutout"),
    ("random_resized_crop", "gaussian_noise"),
    ("colorjitter", "randomgrayscale", "gaussian_blur"),
    ("instance_norm", "center_crop"),
    ("randaugment",),
    ("randaugment2",),
    ("randaugment_fixmatch", "cutout"),
)


@case
def transforms() -> dict:
    """Choices -> the log, and channel means of eight seeded views."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        image = Image.open(images(folder)[7].impath)
        image.load()
    for choices in TRANSFORMS:
        cfg = wave_cfg("x", INPUT__TRANSFORMS=choices)
        log = io.StringIO()
        with contextlib.redirect_stdout(log):
            train, test = build_transform(cfg), build_transform(cfg, is_train=False)
        set_random_seed(11)
        views = torch.stack([train(image) for _ in range(8)])
        found[" ".join(choices)] = [
            log.getvalue().splitlines(),
            views.mean((2, 3)).tolist(),
            test(image).mean((1, 2)).tolist(),
        ]
    return found


@case
def single_operations() -> dict:
    """The operations of random augmentation that take a strength, at two strengths."""
    with tempfile.TemporaryDirectory() as folder:
        image = Image.open(images(folder)[4].impath)
        image.load()
    found = {}
    for operation, low, high in [*randaugment.randaugment_list(), *randaugment.randaugment_list2()]:
        set_random_seed(2)
        views = [np.asarray(operation(image, low + share * (high - low))) for share in (0.3, 0.9)]
        found[f"{operation.__name__} {low} {high}"] = [view.mean((0, 1)).tolist() for view in views]
    torch.manual_seed(0)
    lighting = randaugment.Lighting(0.1, [0.3, 0.2, 0.1], [[1, 2, 3], [0, 1, 4], [5, 6, 0]])
    found["Lighting"] = lighting(torch.zeros(3, 1, 1)).flatten().tolist()
    np.random.seed(0)
    found["CutoutDefault"] = randaugment.CutoutDefault(6)(torch.ones(3, 9, 12)).sum((0, 1)).tolist()
    blend = randaugment.SamplePairing([np.full((26, 30, 3), value, np.uint8) for value in (0, 250)])
    found["SamplePairing"] = np.asarray(blend(image, 0.4)).mean((0, 1)).tolist()
    return found


@case
def batches() -> dict:
    """Sampler -> order and pixels of two epochs' batches through a ``DataManager``, and what it prints."""
    found = {}
    for sampler, changes in (
        ("RandomSampler", {}),
        ("RandomSampler", {"DATALOADER__K_TRANSFORMS": 2, "DATALOADER__RETURN_IMG0": True, "DATASET__NUM_SHOTS": 5}),
        ("RandomDomainSampler", {"DATALOADER__TRAIN_X__N_DOMAIN": 2}),
        ("RandomClassSampler", {"DATALOADER__TRAIN_X__N_INS": 4}),
        ("SeqDomainSampler", {"DATALOADER__TRAIN_U__SAME_AS_X": False, "DATALOADER__TRAIN_U__BATCH_SIZE": 6}),
    ):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
            transforms = ("random_flip", "random_resized_crop", "normalize")
            cfg = wave_cfg(folder, DATALOADER__TRAIN_X__SAMPLER=sampler, INPUT__TRANSFORMS=transforms, **changes)
            set_random_seed(7)
            manager = DataManager(cfg)
            seen = []
            for loader in (manager.train_loader_x, manager.train_loader_x, manager.train_loader_u, manager.val_loader):
                for batch in loader:
                    views = {key: value for key, value in batch.items() if "img" in key}
                    pixels = {
                        key: torch.stack(view if isinstance(view, list) else [view]).mean((2, 3, 4)).tolist()
                        for key, view in views.items()
                    }
                    names = [osp.basename(path) for path in batch["impath"]]
                    labels = [batch[key].tolist() for key in ("label", "domain", "index")]
                    seen.append([names, labels, pixels])
        facts = [manager.num_classes, manager.num_source_domains, sorted(manager.lab2cname.items())]
        found[f"{sampler} {sorted(changes.items())}"] = [seen, facts, said(log.getvalue(), folder)]
    return found


@case
def metrics() -> dict:
    """Accuracy and distances."""
    logits, labels = numbers(9, 5), torch.arange(9) % 5
    one, two = numbers(4, 6), numbers(3, 6, start=50)
    return {
        "accuracy": [value.tolist() for value in compute_accuracy(logits, labels)],
        "accuracy of a tuple": [value.tolist() for value in compute_accuracy((logits, 0), labels)],
        **{metric: compute_distance_matrix(one, two, metric).tolist() for metric in ("euclidean", "cosine")},
    }


@case
def evaluator() -> list:
    """Results, printed lines and confusion matrix."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
        cfg = wave_cfg(folder, TEST__PER_CLASS_RESULT=True, TEST__COMPUTE_CMAT=True)
        built = build_evaluator(cfg, lab2cname={0: "red", 1: "green", 2: "blue", 3: "grey"})
        for start in (0, 30):
            built.process(numbers(30, 4, start=start), torch.arange(start, start + 30) % 7 % 4)
        results = built.evaluate()
        matrix = torch.load(osp.join(folder, "cmat.pt"), weights_only=False)
    return [list(results), [float(value) for value in results.values()], matrix.tolist(), said(log.getvalue(), folder)]


def shape_sum(state: dict) -> str:
    """A short sum over names and shapes of parameters, in order."""
    lines = "\n".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


@contextlib.contextmanager
def unchecked_distributions() -> Iterator[None]:
    """MixStyle's Beta distribution looks at its parameters' values, which nothing on the meta device has."""
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(True)


@case
def state_dicts() -> dict:
    """Backbone or network -> its width, number of parameters, and a sum over their names and shapes.

    torchvision's EfficientNet has names of its own; the deepest ones take long.
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
    """Backbone or network -> sums over what a seed initialises, and the next random number."""
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
    """Backbone -> a ``SimpleNet``'s logits in evaluation, and while training with seeded mixing."""
    found = {}
    for name, side in SMALL.items():
        with contextlib.redirect_stdout(io.StringIO()):
            changes = {} if "50" in name else {"MODEL__HEAD__NAME": "mlp", "MODEL__HEAD__HIDDEN_LAYERS": (6, 7)}
            cfg = wave_cfg("x", MODEL__BACKBONE__NAME=name, MODEL__BACKBONE__PRETRAINED=False, **changes)
            model = fill(SimpleNet(cfg, cfg.MODEL, 4)).double()
        batch = numbers(4, 3, side, side)
        set_random_seed(5)
        evaluated = model.eval()(batch)
        features = model(batch, return_feature=True)[1]
        trained = model.train()(batch) if name != "cnn_digit5_m3sda" else evaluated  # that has dropout
        found[name] = [evaluated.tolist(), features.shape[1], features.mean(1).tolist(), trained.tolist()]
    return found


@case
def networks() -> dict:
    """The perturbing networks: image, perturbation and warped image; their initialisations and norms."""
    from dassl.modeling.network import ddaig_fcn

    found = {}
    for name in ("fcn_3x32_gctx", "fcn_3x32_gctx_stn", "fcn_3x64_gctx"):
        net = fill(build_network(name, verbose=False)).double().eval()
        outputs = net(numbers(2, 3, 32, 32), lmda=0.3, return_stn_output=True)
        found[name] = [part.mean((2, 3)).tolist() for part in outputs]
        assert len(net(numbers(2, 3, 32, 32), return_p=True)) == 2
    net = ddaig_fcn.FCN(3, 2, nc=4, n_blocks=1, padding_type="replicate", gctx=False, use_dropout=True)
    found["FCN"] = shape_sum(net.state_dict())
    for kind in ("normal", "xavier", "kaiming", "orthogonal"):
        for init in (ddaig_fcn.init_network_weights, init_network_weights):
            model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 4))
            torch.manual_seed(4)
            init(model, init_type=kind)
            found[f"{kind} {init.__module__}"] = [value.abs().sum().item() for value in model.parameters()]
    return found


def optimize(optimizer: torch.optim.Optimizer, params: list, steps: int = 9) -> list:
    """The parameters after each step down a bowl with a ripple."""
    found = []
    for step in range(steps):
        for place, param in enumerate(params):
            param.grad = param.detach() * 0.8 + 0.1 * math.sin(step + place)
        optimizer.step()
        found.append([param.item() for param in params])
    return found


@case
def optimizers() -> dict:
    """Optimizer -> two parameters in nine steps; staged learning rates -> groups."""
    found = {}
    for name in ("adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"):
        for nesterov in (False, True)[: 2 if name == "sgd" else 1]:
            cfg = get_cfg_default().OPTIM
            cfg.NAME, cfg.LR, cfg.WEIGHT_DECAY, cfg.ADAM_BETA2, cfg.SGD_NESTEROV = name, 0.05, 0.02, 0.99, nesterov
            params = [nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([-0.5]))]
            found[f"{name} {nesterov}"] = optimize(build_optimizer(params, cfg), params)
    for name, extra in (
        ("PlainRAdam", {}),
        ("RAdam", {"degenerated_to_sgd": False}),
        ("AdamW", {}),
        ("AdamW", {"warmup": 5}),
    ):
        params = [nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([-0.5]))]
        optimizer = getattr(radam, name)(params, lr=0.05, betas=(0.9, 0.99), weight_decay=0.02, **extra)
        found[f"radam.{name} {extra}"] = optimize(optimizer, params)
    cfg = get_cfg_default().OPTIM
    cfg.NAME, cfg.STAGED_LR, cfg.NEW_LAYERS, cfg.BASE_LR_MULT = "adam", True, ["head"], 0.25
    model = nn.Sequential()
    model.add_module("base", nn.Linear(2, 3))
    model.add_module("head", nn.Linear(3, 5))
    groups = build_optimizer(model, cfg).param_groups
    found["staged"] = [[group["lr"], [list(value.shape) for value in group["params"]]] for group in groups]
    return found


@case
def operations() -> dict:
    """The layers and functions of ``dassl.modeling.ops``, in double precision."""
    x, y, maps = numbers(6, 5), numbers(6, 5, start=40) + 0.2, numbers(6, 32, 5, 7)
    found = {}
    found["Attention"] = fill(ops.Attention(32, 3)).double()(maps).tolist()
    for size, stride, channels in ((3, 1, 32), (5, 2, 16)):
        conv = fill(ops.Conv2dDynamic(32, channels, size, stride, size // 2, squeeze=4)).double()
        found[f"Conv2dDynamic {size}"] = [shape_sum(conv.state_dict()), conv(maps).mean((2, 3)).tolist()]
    for kind, data in ((ops.TransNorm1d, x), (ops.TransNorm2d, maps)):
        for alpha in (True, False):
            norm = kind(data.shape[1], adaptive_alpha=alpha).double()
            trained, again = norm(data), norm(data * 2 + 1)
            running = {name: value.tolist() for name, value in norm.state_dict().items()}
            found[f"{kind.__name__} {alpha}"] = [
                [part.flatten(2).mean(2).tolist() if part.dim() == 4 else part.tolist() for part in parts]
                for parts in [(trained, again, norm.eval()(data))]
            ] + [running]
    for metric in ("cosine", "euclidean", "fast_euclidean"):
        for kind in (ops.SinkhornDivergence, ops.MinibatchEnergyDistance):
            for through in (True, False):
                start = x.clone().requires_grad_()
                value = kind(metric, eps=0.1, max_iter=7, bp_to_sinkhorn=through)(start, y)
                value.backward()
                found[f"{kind.__name__} {metric} {through}"] = [value.item(), start.grad.tolist()]
    found["plan"] = ops.SinkhornDivergence().transport_cost(x, y, return_pi=True)[1].tolist()
    found["distance"] = optimal_transport.OptimalTransport.distance(x, y).tolist()
    for kernel in ("linear", "poly", "rbf"):
        for normalize in (True, False):
            mmd = ops.MaximumMeanDiscrepancy(kernel, normalize)
            found[f"mmd {kernel} {normalize}"] = mmd(x, y).item()
    found["mmd parts"] = [mmd.poly_mmd(x, y, 0.5, 1.0, 3).item(), mmd.remove_self_distance(x @ y.t()).tolist()]
    for kind in (ops.MixStyle, ops.EFDMix):
        for mix in ("random", "crossdomain"):
            set_random_seed(6)
            found[f"{kind.__name__} {mix}"] = kind(p=0.9, alpha=0.3, mix=mix)(maps).std((2, 3)).tolist()
    for order in (True, False):
        torch.manual_seed(8)
        mixed = ops.mixup(maps, maps.flip(0), x, y, 0.7, order)
        found[f"mixup {order}"] = [mixed[0].mean((1, 2, 3)).tolist(), mixed[1].tolist()]
    labels = torch.arange(6) % 5
    found["cross_entropy"] = [ops.cross_entropy(x, labels, 0.1, how).tolist() for how in ("mean", "sum", "none")]
    norm = ops.DSBN2d(32, 3).double()
    norm.select_bn(2)
    norm(maps)
    found["DSBN2d"] = [shape_sum(norm.state_dict()), norm.bn[2].running_var.tolist(), norm.bn[0].running_var.tolist()]
    start = x.clone().requires_grad_()
    ops.ReverseGrad()(start, 0.3).pow(2).sum().backward()
    found["ReverseGrad"] = start.grad.tolist()
    return found


@case
def small_functions() -> dict:
    """``dassl.modeling.ops.utils``, heads, meters."""
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


@case
def a_run() -> list:
    """A ``TrainerX`` of three epochs: losses, learning rates, printed lines, files, result."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
        changes = {"OPTIM__WARMUP_EPOCH": 1, "TRAIN__PRINT_FREQ": 2, "TRAIN__CHECKPOINT_FREQ": 2}
        transforms = ("random_flip", "random_crop", "normalize")
        out = osp.join(folder, "run")
        cfg = wave_cfg(folder, INPUT__TRANSFORMS=transforms, TEST__FINAL_MODEL="best_val", OUTPUT_DIR=out, **changes)
        set_random_seed(1)
        with contextlib.redirect_stderr(io.StringIO()):
            trainer = build_trainer(cfg)
            trainer.train()
        files = sorted(osp.relpath(osp.join(base, name), out) for base, _, names in os.walk(out) for name in names)
    files = [re.sub(r"tfevents.*", "tfevents", name) for name in files]
    return [trainer.kept, said(log.getvalue(), folder), files]


def rounded(value: object) -> object:
    """Floating point numbers to eight digits, however deep."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def main() -> None:
    """Print all figures, a case a line."""
    warnings.filterwarnings("ignore")
    register()
    with contextlib.redirect_stdout(io.StringIO()):
        lines = [f"{json.dumps(name)}: {json.dumps(rounded(function()))}" for name, function in CASES.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
