"""Every method: one training step and the test, in each precision on the GPU, against float32 on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.lab import TINY, TINY_RESNET, Lab, tasks_of
from common.catalogue import METHODS

# A first step that changes something, on few images.
STEP = {"DATALOADER.TRAIN_X.BATCH_SIZE": 4, "OPTIM.MAX_EPOCH": 2, "OPTIM.WARMUP_EPOCH": 0}
# Settings by trainer: what fits three layers, no dropout (the devices draw differently), no search whose choice jumps.
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "CLIPLoRA": {"TRAINER.CLIPLORA.DROPOUT": "0.0", "TRAINER.CLIPLORA.ITERATIONS": 2},
    "MaPLe": {"TRAINER.MAPLE.PROMPT_DEPTH": 3},
    "PromptSRC": {"TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT": 3, "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION": 3},
    "LinearProbe": {"TRAINER.LINEARPROBE.C": "1.0"},
    "TipAdapter": {"TRAINER.TIPADAPTER.STEPS_BETA": 10, "TRAINER.TIPADAPTER.VIEWS": 2},
}
SOFTCPT = "TRAINER.SOFTCPT."
Case = tuple[str, str, Mapping[str, object], bool]  # row, method, settings, with a ResNet
# Further ways through the code.
OTHERS: tuple[Case, ...] = (
    ("SoftCPT-NATA, ResNet", "SoftCPT-NATA", {}, True),
    ("PLOT, ResNet", "PLOT", {}, True),
    ("CLIP-LoRA, text, ResNet", "CLIP-LoRA", {"TRAINER.CLIPLORA.ENCODER": "text"}, True),
    ("SoftCPT-CSTA, sampled", "SoftCPT-CSTA", {SOFTCPT + "CLASS_SAMPLE_RATE": 0.5}, False),
    ("SoftCPT-NATA, standard", "SoftCPT-NATA", {SOFTCPT + "FEATURES": "standard"}, False),
    ("SoftCPT-NATA, mlp", "SoftCPT-NATA", {SOFTCPT + "SUB_NETWORK": "mlp"}, False),
    ("SoftCPT-NATA, middle", "SoftCPT-NATA", {SOFTCPT + "CLASS_TOKEN_POSITION": "middle"}, False),
    ("SoftCPT-CSTS, linmean", "SoftCPT-CSTS", {SOFTCPT + "SUB_NETWORK": "linmean"}, False),
    ("SoftCPT-CATA, lincls", "SoftCPT-CATA", {SOFTCPT + "SUB_NETWORK": "lincls"}, False),
)
# Largest difference of the loss, smallest cosine of the gradients, largest difference of logits (share of the largest).
BOUNDS = {"fp32": (1e-3, 0.999, 1e-3), "fp16": (2e-2, 0.99, 2e-2), "bf16": (0.1, 0.95, 0.1)}
DRY_PRECISIONS = ("bf16",)  # the same code in float32 on the same CPU would only repeat the base


@dataclass
class Seen:
    """What a trainer computed: a step's loss and gradients, the test's logits and mean accuracy."""

    loss: float | None = None
    gradients: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    accuracy: float = 0.0


def take_step(trainer: Any) -> float:
    """Prepare a trainer's first epoch and take the step of its first batch; returns the loss."""
    trainer.before_train()
    trainer.epoch = 0
    trainer.before_epoch()
    trainer.set_model_mode("train")
    trainer.num_batches, trainer.batch_idx = len(trainer.train_loader_x), 0
    return float(trainer.forward_backward(next(iter(trainer.train_loader_x)))["loss"])


def observe(trainer: Any) -> Seen:
    """Take one step, or train a method that has no steps, and test."""
    seen, parts = Seen(), []
    process = trainer.evaluator.process

    def keep(logits: Tensor, label: Tensor) -> None:
        parts.append(logits.detach().float().cpu())
        process(logits, label)

    trainer.evaluator.process = keep
    if trainer.optim is None:
        trainer.train()
        seen.accuracy = float(trainer.evaluator.evaluate()["accuracy"])
    else:
        seen.loss = take_step(trainer)
        named = trainer.model.named_parameters()
        seen.gradients = {n: p.grad.detach().float().cpu().clone() for n, p in named if p.grad is not None}
        seen.accuracy = float(trainer.test())
    seen.logits = torch.cat(parts)
    return seen


def compared(base: Seen, here: Seen, precision: str) -> dict[str, Any]:
    """Return the differences of two observations of the same work, and whether they are as small as they should be."""
    loss, cosine, logit = BOUNDS[precision]
    both = base.logits.isfinite() & here.logits.isfinite()
    scale = float(base.logits[both].abs().max())
    row: dict[str, Any] = {
        "logit_difference": float((here.logits - base.logits)[both].abs().max()) / max(scale, 1e-12),
        "predictions_equal": float((here.logits.argmax(1) == base.logits.argmax(1)).float().mean()),
        "accuracy": here.accuracy,
        "accuracy_cpu": base.accuracy,
    }
    same_classes = bool((base.logits.isfinite() == here.logits.isfinite()).all())
    fine = same_classes and row["logit_difference"] < logit
    if base.loss is not None and here.loss is not None:
        row["loss"], row["loss_difference"] = here.loss, abs(here.loss - base.loss)
        fine = fine and row["loss_difference"] < loss * max(1.0, abs(base.loss))
    if base.gradients:
        row |= gradient_differences(base.gradients, here.gradients)
        fine = fine and row["gradient_cosine"] > cosine
    return {"ok": fine, **row}


def gradient_differences(base: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the cosine of all gradients as one vector, and the largest relative difference of a parameter's."""
    if base.keys() != here.keys():
        return {"gradient_cosine": 0.0, "gradients_of_others": sorted(base.keys() ^ here.keys())[:4]}
    first, second = (torch.cat([part[k].double().flatten() for k in base]) for part in (base, here))
    norms = {k: float(base[k].norm()) for k in base}
    worst = max((float((here[k] - base[k]).norm()) / n for k, n in norms.items() if n > 0), default=0.0)
    cosine = float(first @ second / (first.norm() * second.norm()).clamp(min=1e-300))
    return {"gradient_cosine": cosine, "gradient_difference": worst}


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Turn TF32 off, which rounds the factors of float32 products to 10 bits."""
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [getattr(switch, "allow_tf32", None) for switch in switches]
    for switch in switches:
        with contextlib.suppress(Exception):
            switch.allow_tf32 = False
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            with contextlib.suppress(Exception):
                switch.allow_tf32 = value


def section(bench: Bench) -> None:
    lab = Lab(bench.folder, bench.device)
    collection = lab.collection("Tiny", tasks_of("Plant-6", dry=True), (4, 4, 6))
    cases: list[Case] = [(method.name, method.name, {}, False) for method in METHODS.values()]
    for row_name, method, settings, resnet in [*cases, *OTHERS]:
        if not bench.wanted(row_name):
            continue
        settings = {**STEP, **SETTINGS.get(METHODS[method].trainer, {}), **settings}
        checkpoint = lab.checkpoint("tiny_resnet" if resnet else "tiny", TINY_RESNET if resnet else TINY)
        base: Seen | None = None
        with exact_float32():
            for precision in DRY_PRECISIONS if bench.dry else BOUNDS:
                with bench.making(3, method=row_name, precision=precision) as row:
                    if row is None:
                        continue
                    if base is None:
                        base = observe(lab.trainer(collection, checkpoint, method, "fp32", settings, "cpu"))
                    here = observe(lab.trainer(collection, checkpoint, method, precision, settings))
                    row |= compared(base, here, precision)
