"""Cases: schedules, optimizers, metrics, results, runs, checkpoints."""

from __future__ import annotations

import contextlib
import io
import math
import os
import os.path as osp
import re
import tempfile

import torch
import torch.nn as nn
from dassl import utils as dassl_utils
from dassl.config import get_cfg_default
from dassl.engine import build_trainer
from dassl.evaluation import build_evaluator
from dassl.metrics import compute_accuracy, compute_distance_matrix
from dassl.optim import build_lr_scheduler, build_optimizer, radam
from dassl.utils import count_num_param, set_random_seed, torchtools

from .common import case, fill, log_lines, numbers, wave_cfg


@case
def learning_rates() -> dict:
    """Schedule, warm-up and their settings -> the learning rates of nine epochs."""
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
    """Schedule without warm-up -> four epochs, then five more in new objects with the saved state."""
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


def optimize(optimizer: torch.optim.Optimizer, params: list, steps: int = 9) -> list:
    """Return the parameters after each step on a quadratic function with a sine."""
    found = []
    for step in range(steps):
        for place, param in enumerate(params):
            param.grad = param.detach() * 0.8 + 0.1 * math.sin(step + place)
        optimizer.step()
        found.append([param.item() for param in params])
    return found


@case
def optimizers() -> dict:
    """Optimizer -> two parameters over nine steps; staged learning rates -> parameter groups."""
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
    """Results, printed lines and confusion matrix of the evaluator."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
        cfg = wave_cfg(folder, TEST__PER_CLASS_RESULT=True, TEST__COMPUTE_CMAT=True)
        built = build_evaluator(cfg, lab2cname={0: "red", 1: "green", 2: "blue", 3: "grey"})
        for start in (0, 30):
            built.process(numbers(30, 4, start=start), torch.arange(start, start + 30) % 7 % 4)
        results = built.evaluate()
        matrix = torch.load(osp.join(folder, "cmat.pt"), weights_only=False)
    return [
        list(results),
        [float(value) for value in results.values()],
        matrix.tolist(),
        log_lines(log.getvalue(), folder),
    ]


@case
def a_run() -> list:
    """A ``TrainerX`` run of three epochs: losses, learning rates, printed lines, files."""
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
    return [trainer.records, log_lines(log.getvalue(), folder), files]


@case
def pairs() -> dict:
    """TRAIN.COUNT_ITER -> the batches of two epochs of a ``TrainerXU``, and its output."""
    found = {}
    for count in ("train_x", "train_u", "smaller_one"):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
            changes = {"OPTIM__MAX_EPOCH": 2, "TRAIN__COUNT_ITER": count, "DATALOADER__TRAIN_U__SAME_AS_X": False}
            changes |= {"TRAINER__NAME": "PairTrainer", "DATALOADER__TRAIN_U__BATCH_SIZE": 5, "TEST__NO_TEST": True}
            set_random_seed(2)
            trainer = build_trainer(wave_cfg(folder, INPUT__TRANSFORMS=("random_flip",), **changes))
            trainer.train()
            lines = [line for line in log_lines(log.getvalue(), folder) if line.startswith("epoch")]
        found[count] = [trainer.records, lines]
    return found


@case
def saved_and_loaded() -> list:
    """File names, printed lines and results of the checkpoint helpers and the layer functions."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        states = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        for epoch, best, name in ((3, False, ""), (5, True, ""), (5, False, "mine.pth.tar")):
            state = {"state_dict": fill(model).state_dict(), "epoch": epoch, **states}
            dassl_utils.save_checkpoint(state, folder, is_best=best, model_name=name)
        other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 4))
        found = [sorted(os.listdir(folder)), dassl_utils.resume_from_checkpoint(folder, model, optimizer, scheduler)]
        dassl_utils.load_pretrained_weights(other, osp.join(folder, "model-best.pth.tar"))
        found.append(other.state_dict()["0.weight"].tolist())
        dassl_utils.open_specified_layers(model, "0")
        found.append([[part.training, *(p.requires_grad for p in part.parameters())] for part in model])
        dassl_utils.open_all_layers(model)
        model.apply(torchtools.set_bn_to_eval)
        found.append([[part.training, *(p.requires_grad for p in part.parameters())] for part in model])
        found.append([count_num_param(model), count_num_param(params=model.parameters())])
        for linear in (True, False):
            torchtools.adjust_learning_rate(optimizer, 0.1, 30, linear_decay=linear, final_lr=0.01)
            found.append(optimizer.param_groups[0]["lr"])
        found.append(dassl_utils.get_most_similar_str_to_a_from_b("sdg", ["adam", "sgd", "radam"]))
        found.append([dassl_utils.tolist_if_not(value) for value in ("a", [1], (2,))])
        open(osp.join(folder, ".hidden"), "w").close()
        found.append(dassl_utils.listdir_nohidden(folder, sort=True))
        dassl_utils.write_json({"a": [1, "b"]}, osp.join(folder, "deep", "x.json"))
        with open(osp.join(folder, "deep", "x.json")) as file:
            found.append([file.read(), dassl_utils.read_json(osp.join(folder, "deep", "x.json"))])
        found.append(dassl_utils.check_isfile(osp.join(folder, "deep", "x.json")))
    return [*found, log_lines(log.getvalue(), folder)]
