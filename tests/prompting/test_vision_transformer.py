"""Features without a graph equal those of the packages' own vision transformers."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
import torch
from torch import nn

from prompting import frozen
from prompting.losses import unit
from prompting.low_rank import LowRank, image_blocks, updated
from prompting.towers import Tower
from prompting.vision_transformer import encode, is_fast, is_plain
from tests.support.towers import in_double, random_clip

KINDS = ("openai", "odd size", "open_clip", "scaled", "tanh", "quick")


@pytest.fixture(scope="module")
def visuals() -> dict[str, Any]:
    """Name -> frozen float32 image tower."""
    found = {"openai": random_clip(vision_layers=3).visual, "odd size": random_clip(image_size=45).visual}
    with contextlib.suppress(ModuleNotFoundError):
        from open_clip.transformer import QuickGELU, VisionTransformer

        for name, more in (
            ("open_clip", {}),
            ("scaled", {"ls_init_value": 0.3, "final_ln_after_pool": True, "no_ln_pre": True}),
            ("tanh", {"act_layer": lambda: nn.GELU(approximate="tanh")}),
            ("quick", {"act_layer": QuickGELU}),
        ):
            found[name] = VisionTransformer(32, 8, 64, 3, 2, 4.0, output_dim=48, **more)
    return {name: visual.eval().requires_grad_(False) for name, visual in found.items()}


def of(visuals: dict[str, Any], kind: str) -> tuple[Any, torch.Tensor]:
    """A tower and images of its size."""
    if kind not in visuals:
        pytest.skip("OpenCLIP is not installed")
    torch.manual_seed(3)
    return visuals[kind], torch.randn(3, 3, *((45, 45) if kind == "odd size" else (32, 32)))


@pytest.mark.parametrize("kind", KINDS)
def test_in_float32(visuals: dict[str, Any], kind: str) -> None:
    visual, images = of(visuals, kind)
    given, weights = images.clone(), copy.deepcopy(visual.state_dict())
    features = encode(visual, images)
    torch.testing.assert_close(features, visual(images), rtol=1e-5, atol=1e-5)
    assert not features.requires_grad and torch.equal(images, given)
    assert all(torch.equal(value, weights[name]) for name, value in visual.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_in_float64(visuals: dict[str, Any], kind: str) -> None:
    visual, images = of(visuals, kind)
    visual, images = in_double(copy.deepcopy(visual)), images.double()
    torch.testing.assert_close(encode(visual, images), visual(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_in_float32_without_onednn(visuals: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_onednn", None)
    visual, images = of(visuals, kind)
    torch.testing.assert_close(encode(visual, images), visual(images), rtol=1e-5, atol=1e-5)


def test_a_tower_takes_the_fast_path_where_it_pays(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(2, 3, 32, 32)
    visual: Any = tower.visual
    monkeypatch.setattr(frozen, "HAS_ONEDNN", True)
    assert is_fast(visual) is True
    assert torch.equal(tower.encode_image(images), unit(encode(visual, images)))
    assert torch.equal(tower.encode_image(images, normalize=False), encode(visual, images))
    assert not is_fast(copy.deepcopy(visual).to(torch.bfloat16))
    assert not is_fast(copy.deepcopy(visual).to("meta"))
    monkeypatch.setattr(frozen, "HAS_ONEDNN", False)
    assert not is_fast(visual)
    assert torch.equal(tower.encode_image(images, normalize=False), visual(images))


def test_other_image_towers_keep_their_own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "HAS_ONEDNN", True)
    others = [random_clip(vision_layers=(1, 1, 1, 1), image_size=64).visual, nn.Linear(1, 1)]
    with contextlib.suppress(ModuleNotFoundError):
        from open_clip.transformer import VisionTransformer

        others.append(VisionTransformer(32, 8, 64, 2, 2, 4.0, output_dim=48, pool_type="avg"))
        custom = VisionTransformer(32, 8, 64, 2, 2, 4.0, output_dim=48, block_type="custom", scale_attn=True)
        assert not is_fast(custom)
    assert not any(is_plain(other) or is_fast(other) for other in others)


def test_attention_layers_with_updates_keep_their_updates(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP-LoRA tests its images through `encode_image` while its updates are in place."""
    monkeypatch.setattr(frozen, "HAS_ONEDNN", True)
    images = torch.randn(2, 3, 32, 32)
    blocks = image_blocks(tower.visual)
    assert blocks
    updates = LowRank(len(blocks), 64, 2, 1.0, 0.0)
    nn.init.normal_(updates.b)
    before = tower.encode_image(images)
    with updated(blocks, updates), torch.no_grad():
        assert not is_fast(tower.visual)
        torch.testing.assert_close(tower.encode_image(images), unit(tower.visual(images)))
        assert (tower.encode_image(images) - before).abs().max() > 1e-3
    assert torch.equal(tower.encode_image(images), before)
