"""A generated data set of three colours, trainers for it, and a configuration small enough for a test."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch
import torch.nn as nn
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, TrainerX, TrainerXU
from dassl.metrics import compute_accuracy
from dassl.modeling import BACKBONE_REGISTRY, Backbone
from dassl.utils import Registry
from PIL import Image
from torch.nn import functional as F

IMAGES_PER_CLASS = 8


@pytest.fixture(autouse=True)
def restore_stdout():
    """A test that fails with an open Logger must not capture the output of later tests."""
    before = sys.stdout
    yield
    sys.stdout = before


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """A folder of 24 PNG images of 20 x 16 pixels: noise on red, green or blue."""
    folder = tmp_path_factory.mktemp("colours")
    noise = np.random.default_rng(0)
    for label in range(3):
        for number in range(IMAGES_PER_CLASS):
            pixels = noise.integers(0, 90, (16, 20, 3), dtype=np.uint8)
            pixels[..., label] += 150
            Image.fromarray(pixels).save(folder / f"{label}_{number}.png")
    return folder


@pytest.fixture
def items(image_folder):
    """The images as ``Datum``, four of each class in domain 0 and four in domain 1."""
    return [
        Datum(str(image_folder / f"{label}_{number}.png"), label, number % 2, ("red", "green", "blue")[label])
        for label in range(3)
        for number in range(IMAGES_PER_CLASS)
    ]


class SmallNet(Backbone):
    """Eight features from 8 x 8 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, stride=8)
        self._out_features = 8

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


class ColourTrainer(TrainerX):
    """Minimises the cross entropy and records the batches."""

    def forward_backward(self, batch):
        images, labels, _ = self.parse_batch_train(batch)
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels)
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        self.seen.append(batch["impath"])
        return {"loss": loss.item(), "acc": compute_accuracy(logits, labels)[0].item()}

    def build_model(self):
        self.seen = []
        super().build_model()


class PairTrainer(TrainerXU):
    """Records the sizes of the batches that are paired."""

    def forward_backward(self, batch_x, batch_u):
        self.parse_batch_train(batch_x, batch_u)
        self.pairs = [*getattr(self, "pairs", []), (len(batch_x["label"]), len(batch_u["label"]))]
        return {"loss": torch.tensor(1.0)}


@pytest.fixture
def registered(monkeypatch, items):
    """Register the data set, backbone and trainers of this file for one test."""

    class Colours(DatasetBase):
        def __init__(self, cfg):
            train = self.generate_fewshot_dataset(items, num_shots=cfg.DATASET.NUM_SHOTS)
            unlabelled = items[:10] if cfg.TRAINER.NAME == "PairTrainer" else None
            super().__init__(train_x=train, train_u=unlabelled, val=items[::2], test=items)

    def smallnet(pretrained=True, **kwargs):
        return SmallNet()

    for registry, objects in (
        (DATASET_REGISTRY, [Colours]),
        (BACKBONE_REGISTRY, [smallnet]),
        (TRAINER_REGISTRY, [ColourTrainer, PairTrainer]),
    ):
        assert isinstance(registry, Registry)
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
        for obj in objects:
            registry.register(obj)


@pytest.fixture
def cfg(registered, tmp_path):
    """Two epochs of ``ColourTrainer``, four images per class, batches of four."""
    cfg = get_cfg_default()
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    cfg.USE_CUDA = False
    cfg.INPUT.SIZE = (16, 16)
    cfg.INPUT.TRANSFORMS = ("random_flip", "normalize")
    cfg.DATASET.NAME = "Colours"
    cfg.DATASET.NUM_SHOTS = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = 4
    cfg.MODEL.BACKBONE.NAME = "smallnet"
    cfg.OPTIM.NAME = "sgd"
    cfg.OPTIM.LR = 0.1
    cfg.OPTIM.LR_SCHEDULER = "cosine"
    cfg.OPTIM.MAX_EPOCH = 2
    cfg.OPTIM.WARMUP_EPOCH = 1
    cfg.OPTIM.WARMUP_TYPE = "constant"
    cfg.TRAINER.NAME = "ColourTrainer"
    random.seed(0)
    torch.manual_seed(0)
    return cfg
