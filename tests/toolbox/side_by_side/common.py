"""Shared by the cases: values that do not depend on versions, a small data set and trainers."""

from __future__ import annotations

import hashlib
import math
import os.path as osp
import re
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn as nn
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, TrainerX, TrainerXU
from dassl.metrics import compute_accuracy
from dassl.modeling import BACKBONE_REGISTRY, Backbone
from PIL import Image
from torch.nn import functional as F
from yacs.config import CfgNode

Module = TypeVar("Module", bound=nn.Module)

CASES: dict[str, Callable[[], object]] = {}


def case(function: Callable[[], object]) -> Callable[[], object]:
    """Register a function whose result is compared."""
    CASES[function.__name__] = function
    return function


def numbers(*shape: int, start: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return values between -1 and 1; they use no random generator, so they do not depend on versions."""
    count = math.prod(shape)
    return torch.sin(torch.arange(start, start + count, dtype=torch.float64) * 1.7).view(shape).to(dtype)


def fill(module: Module) -> Module:
    """Set small weights that depend on their position in the state dict; batch norm variances stay positive."""
    with torch.no_grad():
        for place, (name, value) in enumerate(sorted(module.state_dict().items())):
            if value.is_floating_point():
                drawn = numbers(997, start=place, dtype=value.dtype).repeat(value.numel() // 997 + 1)
                drawn = drawn[: value.numel()].view(value.shape)
                value.copy_(1 + drawn / 2 if "var" in name else drawn * (2 / max(1, value[0].numel())) ** 0.5)
    return module


def images(folder: str) -> list[Datum]:
    """Write 36 images of 30 x 26 pixels: three classes in four domains."""
    items = []
    y, x = np.mgrid[0:26, 0:30]
    for number in range(36):
        label, domain = number % 3, number // 3 % 4
        planes = [127 + 120 * np.sin((x * (label + 1) + y * (channel + 1) + 5 * number) / 9) for channel in range(3)]
        path = osp.join(folder, f"{number:02}.png")
        Image.fromarray(np.stack(planes, -1).astype(np.uint8)).save(path)
        items.append(Datum(path, label, domain, ("red", "green", "blue")[label]))
    return items


def log_lines(text: str, folder: str) -> list[str]:
    """Split a log into lines and mask everything that depends on the machine: folders, times, processors."""
    lines = [re.sub(r"(time|data|eta|Elapsed:?) [\d.:]+( \([\d.]+\))?", r"\1 *", line) for line in text.splitlines()]
    return [line.replace(folder, "FOLDER") for line in lines if "rocessor" not in line]


def shape_sum(state: dict) -> str:
    """Return a short hash of the names and shapes of parameters, in order."""
    lines = "\n".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


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

    def __init__(self, cfg: CfgNode) -> None:
        items = images(cfg.DATASET.ROOT)
        train = self.generate_fewshot_dataset(items, num_shots=cfg.DATASET.NUM_SHOTS)
        super().__init__(train_x=train, train_u=items[:24], val=items[::2], test=items)


class WaveTrainer(TrainerX):
    """Minimises the cross entropy; records losses and learning rates."""

    def forward_backward(self, batch: dict) -> dict:
        images, labels, _ = self.parse_batch_train(batch)
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels)
        self.model_backward_and_update(loss)
        self.records = [*getattr(self, "records", []), [loss.item(), self.get_current_lr()]]
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(logits, labels)[0].item()}


class PairTrainer(TrainerXU):
    """Records which images are paired."""

    def forward_backward(self, batch_x: dict, batch_u: dict) -> dict:
        images, labels, unlabelled = self.parse_batch_train(batch_x, batch_u)
        names = [[osp.basename(path) for path in batch["impath"]] for batch in (batch_x, batch_u)]
        self.records = [*getattr(self, "records", []), [*names, self.batch_idx, images.mean().item()]]
        return {"sum": float(labels.sum()), "unlabelled": unlabelled.mean().item()}


def wave_cfg(folder: str, **changes: object) -> CfgNode:
    """Return a configuration for ``Waves`` and ``WaveTrainer``; ``changes`` use two underscores for a dot."""
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
    """Register the data set, backbone and trainers of this file."""
    DATASET_REGISTRY.register(Waves, force=True)
    BACKBONE_REGISTRY.register(tinynet, force=True)
    TRAINER_REGISTRY.register(WaveTrainer, force=True)
    TRAINER_REGISTRY.register(PairTrainer, force=True)
