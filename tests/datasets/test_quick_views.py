"""The quick augmentation draws and gives what torchvision's four transforms do, bit for bit."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import (
    CenterCrop,
    Compose,
    InterpolationMode,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
)

from datasets.quick_views import quick_view

MEAN, STD = [0.48, 0.45, 0.41], [0.27, 0.26, 0.28]
SIZES = [(80, 80), (64, 64), (33, 57), (300, 20), (20, 300), (1, 1), (2, 3), (500, 375)]


def published(size: tuple[int, int] = (64, 48), how: InterpolationMode = InterpolationMode.BICUBIC) -> Compose:
    crop = RandomResizedCrop(size, scale=(0.08, 1.0), interpolation=how)
    return Compose([crop, RandomHorizontalFlip(), ToTensor(), Normalize(MEAN, STD)])


def picture(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", list(InterpolationMode)[:3])
def test_same_bits_as_torchvision(size: tuple[int, int], how: InterpolationMode) -> None:
    transform, image = published(how=how), picture(size)
    quick = quick_view(transform)
    if quick is None:
        pytest.skip(f"{how} has no filter here")
    distinct = set()
    for seed in range(40):
        torch.manual_seed(seed)
        plain = transform(image)
        view = quick(image, seed)
        assert torch.equal(view, plain) and view.dtype == torch.float32 and view.stride() == plain.stride()
        distinct.add(view.sum().item())
    narrow = max(size) > 4 * min(size) or max(size) < 4  # few crops fit, so most views are the middle's
    assert len(distinct) > (20 if not narrow else 0)


def test_global_generators_are_left_alone() -> None:
    quick = quick_view(published())
    assert quick is not None
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    quick(picture((80, 80)), 5)
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert repr(np.random.get_state()) == before[2]


def test_it_can_be_sent_to_a_worker_process() -> None:
    quick = quick_view(published())
    assert quick is not None
    assert torch.equal(pickle.loads(pickle.dumps(quick))(picture((80, 80)), 5), quick(picture((80, 80)), 5))


@pytest.mark.parametrize(
    "transform",
    [
        None,
        ToTensor(),
        Compose(published().transforms[:3]),
        Compose([CenterCrop(8), *published().transforms]),
        Compose([*published().transforms[:1], *published().transforms[2:]]),
        published(how=InterpolationMode.LANCZOS),
    ],
)
def test_other_transforms_are_not_taken(transform: Any) -> None:
    assert quick_view(transform) is None


def test_subclasses_are_not_taken() -> None:
    class Mirror(RandomHorizontalFlip):
        """Another flip."""

    steps = published().transforms
    assert quick_view(Compose([steps[0], Mirror(), *steps[2:]])) is None
