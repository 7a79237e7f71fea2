"""Cases: few shots, samplers, transforms, batches."""

from __future__ import annotations

import contextlib
import io
import os.path as osp
import random
import tempfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from dassl.data import DataManager
from dassl.data.datasets import DatasetBase
from dassl.data.samplers import build_sampler
from dassl.data.transforms import build_transform, randaugment
from dassl.utils import set_random_seed
from PIL import Image

from .common import case, images, log_lines, wave_cfg


@case
def few_shots() -> dict:
    """Shots -> the images drawn for training and validation."""
    items: Any = [
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
    """Sampler, batch size, domains, instances -> length, and the orders of two epochs."""
    items: Any = [SimpleNamespace(label=i * i % 7 % 4, domain=3 * i % 4 if i % 9 else 0) for i in range(48)]
    found: dict[str, object] = {}
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
            sampler: Any = build_sampler(
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
    """Choices -> the log, and the channel means of eight seeded views."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        image = Image.open(images(folder)[7].impath)
        image.load()
    for choices in TRANSFORMS:
        cfg = wave_cfg("x", INPUT__TRANSFORMS=choices)
        log = io.StringIO()
        with contextlib.redirect_stdout(log):
            train, test = build_transform(cfg), build_transform(cfg, is_train=False)
        assert train is not None and test is not None
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
    """Operations of random augmentation -> channel means at two strengths."""
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
    """Sampler -> order and pixels of the batches of two epochs from a ``DataManager``, and its output."""
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
            loaders = (manager.train_loader_x, manager.train_loader_x, manager.train_loader_u, manager.val_loader)
            for loader in loaders:
                assert loader is not None
                for batch in loader:
                    views = {key: value for key, value in batch.items() if "img" in key}
                    pixels = {
                        key: torch.stack(view if isinstance(view, list) else [view]).mean((2, 3, 4)).tolist()
                        for key, view in views.items()
                    }
                    names = [osp.basename(path) for path in batch["impath"]]
                    labels = [batch[key].tolist() for key in ("label", "domain", "index")]
                    seen.append([names, labels, pixels])
        summary = [manager.num_classes, manager.num_source_domains, sorted(manager.lab2cname.items())]
        found[f"{sampler} {sorted(changes.items())}"] = [seen, summary, log_lines(log.getvalue(), folder)]
    return found
