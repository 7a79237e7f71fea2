"""Transforms by name."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from dassl.config import get_cfg_default
from dassl.data.transforms import build_transform
from dassl.data.transforms.randaugment import (
    RandAugment,
    SolarizeAdd,
    fixmatch_list,
    randaugment_list,
    randaugment_list2,
)
from dassl.data.transforms.transforms import AVAI_CHOICES, Cutout, InstanceNormalization
from PIL import Image

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))


def input_cfg(*choices):
    cfg = get_cfg_default()
    cfg.INPUT.SIZE = (24, 20)
    cfg.INPUT.TRANSFORMS = choices
    return cfg


@pytest.mark.parametrize("choice", AVAI_CHOICES)
def test_every_choice_gives_a_tensor_of_the_size(choice):
    cfg = input_cfg(choice)
    cfg.INPUT.CROP_PADDING = 0
    tensor = build_transform(cfg)(IMAGE)
    assert tensor.shape == (3, 24, 20) and tensor.dtype == torch.float32 and torch.isfinite(tensor).all()


@pytest.mark.parametrize(
    "name", ["randaugment", "randaugment2", "randaugment_fixmatch", "imagenet_policy", "svhn_policy"]
)
def test_augmentations_give_varied_images(name):
    cfg = input_cfg(name)
    cfg.INPUT.RANDAUGMENT_N = 3
    transform = build_transform(cfg)
    random.seed(0)
    torch.manual_seed(0)
    assert len({transform(IMAGE).sum().item() for _ in range(40)}) > 10


def test_a_configuration_without_the_crop_scale(capsys):
    cfg = input_cfg("random_resized_crop")
    del cfg.INPUT["RRCROP_SCALE"]
    assert build_transform(cfg)(IMAGE).shape == (3, 24, 20)
    assert "scale=(0.08, 1.0)" in capsys.readouterr().out


def test_the_log_and_the_order(capsys):
    build_transform(input_cfg("normalize", "random_flip", "random_resized_crop", "cutout"))
    assert capsys.readouterr().out.splitlines() == [
        "Building transform_train",
        "+ random resized crop (size=(24, 20), scale=(0.08, 1.0))",
        "+ random flip",
        "+ to torch tensor of range [0, 1]",
        "+ cutout (n_holes=1, length=16)",
        "+ normalization (mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])",
    ]


def test_the_test_transform_resizes_crops_and_normalises(capsys):
    cfg = input_cfg("random_flip", "normalize", "cutout")
    tensor = build_transform(cfg, is_train=False)(Image.new("RGB", (60, 40), (255, 0, 0)))
    assert tensor.shape == (3, 24, 20)
    expected = (torch.tensor([1.0, 0, 0]) - torch.tensor(cfg.INPUT.PIXEL_MEAN)) / torch.tensor(cfg.INPUT.PIXEL_STD)
    assert torch.allclose(tensor[:, 5, 5], expected)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "Building transform_test",
        "+ resize the smaller edge to 24",
        "+ 24x20 center crop",
    ]


def test_explicit_choices_and_no_transform():
    assert len(build_transform(input_cfg("random_flip"), choices=["normalize"]).transforms) == 3
    cfg = input_cfg()
    cfg.INPUT.NO_TRANSFORM = True
    assert build_transform(cfg) is None


def test_a_misspelt_choice_error_has_the_nearest_name():
    with pytest.raises(ValueError, match="'random_flop'.*'random_flip'"):
        build_transform(input_cfg("random_flop"))
    cfg = input_cfg()
    cfg.INPUT.INTERPOLATION = "cubic"
    with pytest.raises(ValueError, match="INPUT.INTERPOLATION.*'cubic'"):
        build_transform(cfg)


def test_randaugment_lists_and_strength():
    assert [len(ops()) for ops in (randaugment_list, randaugment_list2, fixmatch_list)] == [16, 15, 14]
    random.seed(4)
    names = [op.__name__ for op, _, _ in random.choices(randaugment_list(), k=2)]
    random.seed(4)
    seen = []
    augment = RandAugment(2, 15)
    augment.augment_list = [
        (lambda img, v, op=op: seen.append((op.__name__, v)) or img, low, high) for op, low, high in randaugment_list()
    ]
    augment(IMAGE)
    middle = {op.__name__: (low + high) / 2 for op, low, high in randaugment_list()}
    assert seen == [(name, pytest.approx(middle[name])) for name in names]
    with pytest.raises(ValueError, match="RANDAUGMENT_M"):
        RandAugment(2, 31)


def test_tensor_operations():
    np.random.seed(0)
    holes = Cutout(1, 8)(torch.ones(3, 24, 20))
    zeros = (holes == 0).sum(dim=(1, 2))
    assert 16 <= zeros[0] <= 64 and zeros.unique().numel() == 1
    tensor = InstanceNormalization()(torch.rand(3, 9, 9))
    assert torch.allclose(tensor.mean((1, 2)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(tensor.std((1, 2)), torch.ones(3), atol=1e-5)
    bright = np.asarray(SolarizeAdd(Image.new("RGB", (2, 2), (100, 10, 250)), 60))
    assert bright[0, 0].tolist() == [255 - 160, 70, 0]
