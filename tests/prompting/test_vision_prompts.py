"""Prompt tokens in image towers: against the tower's own blocks, for OpenAI's and OpenCLIP's vision transformers."""

import contextlib
import copy

import pytest
import torch

from common.errors import InputError
from prompting.losses import unit
from prompting.towers import Tower, load_tower
from prompting.vision_prompts import PromptedVision
from tests.support.towers import in_double, needs_on_cpu, prompted_features, random_clip


@pytest.fixture(scope="module")
def towers(tower):
    """Name -> tower in float64 with OpenAI's image tower, or OpenCLIP's if it is installed."""
    visuals = {"openai": random_clip(vision_layers=4).visual}
    with contextlib.suppress(ModuleNotFoundError):
        from open_clip.transformer import VisionTransformer

        for name, more in (("open_clip", {}), ("scaled", {"ls_init_value": 0.3, "final_ln_after_pool": True})):
            visuals[name] = VisionTransformer(32, 8, 64, 3, 2, 4.0, output_dim=48, **more)
    text = copy.deepcopy(tower.text)
    return {name: in_double(Tower(name, visual, text, 100.0, tower.preprocessing)) for name, visual in visuals.items()}


KINDS = ("openai", "open_clip", "scaled")


def tower_of(towers, kind):
    if kind not in towers:
        pytest.skip("OpenCLIP is not installed")
    return towers[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_without_prompts_features_equal_the_towers(towers, kind):
    tower = tower_of(towers, kind)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(PromptedVision(tower)(images), tower.encode_image(images), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_features_and_gradients_equal_those_of_the_towers_own_blocks(towers, kind, depth):
    tower = tower_of(towers, kind)
    torch.manual_seed(depth)
    prompts = (0.3 * torch.randn(depth, 2, 64, dtype=torch.float64)).requires_grad_()
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    fast, plain = PromptedVision(tower)(images, prompts), prompted_features(tower, images, prompts)
    torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-11)
    assert (plain - tower.encode_image(images)).abs().max() > 1e-3
    weights = torch.randn_like(plain)
    fast_grad, plain_grad = (torch.autograd.grad((f * weights).sum(), prompts)[0] for f in (fast, plain))
    assert plain_grad.flatten(1).abs().amax(1).min() > 1e-6
    torch.testing.assert_close(fast_grad, plain_grad, rtol=1e-8, atol=1e-11)
    assert not any(p.requires_grad for p in tower.parameters())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 4e-2)])
def test_half_precisions(checkpoint, tower, dtype, tolerance):
    needs_on_cpu(dtype)
    half_tower, images = load_tower(str(checkpoint), dtype=dtype), torch.randn(3, 3, 32, 32)
    prompts = (0.3 * torch.randn(2, 2, 64)).requires_grad_()
    half, full = PromptedVision(half_tower)(images, prompts), PromptedVision(tower)(images, prompts)
    assert half.dtype == torch.float32 and (half - full).norm() / full.norm() < tolerance
    weights = torch.randn_like(full)
    half_grad, full_grad = (torch.autograd.grad((f * weights).sum(), prompts)[0] for f in (half, full))
    assert half_grad.dtype == torch.float32 and (half_grad - full_grad).norm() / full_grad.norm() < 5 * tolerance


def test_other_image_towers_are_rejected_in_one_line(tower):
    others = [random_clip(vision_layers=(1, 1, 1, 1), image_size=64).visual, torch.nn.Linear(1, 1)]
    with contextlib.suppress(ModuleNotFoundError):
        from open_clip.transformer import VisionTransformer

        others.append(VisionTransformer(32, 8, 64, 2, 2, 4.0, output_dim=48, pool_type="avg"))
        others.append(VisionTransformer(32, 8, 64, 2, 2, 4.0, output_dim=48, attentional_pool=True))
    for visual in others:
        other = Tower("some/tower", visual, tower.text, 100.0, tower.preprocessing)
        with pytest.raises(InputError, match="'some/tower' takes no prompt tokens.*ViT-B/16") as caught:
            PromptedVision(other)
        assert "\n" not in str(caught.value)


def test_features_have_unit_norm(tower):
    features = PromptedVision(tower)(torch.randn(2, 3, 32, 32), torch.randn(1, 3, 64))
    torch.testing.assert_close(features, unit(features))
