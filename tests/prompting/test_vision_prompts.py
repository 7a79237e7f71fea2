"""Prompt tokens in image towers: against the tower's own blocks, for OpenAI's and OpenCLIP's vision transformers."""

import contextlib
import copy
import types

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.losses import unit
from prompting.towers import Tower, load_tower
from prompting.vision_prompts import PromptedVision
from tests.conftest import needs_on_cpu, random_clip


def frozen(tower: Tower) -> Tower:
    """The tower in float64; clip's LayerNorm would go through float32."""
    for module in tower.double().modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.forward = types.MethodType(torch.nn.LayerNorm.forward, module)
    return tower


@pytest.fixture(scope="module")
def towers(tower):
    """Towers in float64 whose image side is OpenAI's, and OpenCLIP's where it is installed: name -> tower."""
    visuals = {"openai": random_clip(vision_layers=4).visual}
    with contextlib.suppress(ModuleNotFoundError):
        from open_clip.transformer import VisionTransformer

        for name, more in (("open_clip", {}), ("scaled", {"ls_init_value": 0.3, "final_ln_after_pool": True})):
            visuals[name] = VisionTransformer(32, 8, 64, 3, 2, 4.0, output_dim=48, **more)
    text = copy.deepcopy(tower.text)
    return {name: frozen(Tower(name, visual, text, 100.0, tower.preprocessing)) for name, visual in visuals.items()}


KINDS = ("openai", "open_clip", "scaled")


def of_kind(towers, kind):
    if kind not in towers:
        pytest.skip("OpenCLIP is not installed")
    return towers[kind]


def features(tower, images, prompts):
    """Through the tower's own blocks, tokens first or images first as they want them."""
    visual = tower.visual
    patches = F.conv2d(images, visual.conv1.weight, stride=visual.conv1.stride).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(images), 1, -1), patches], 1) + visual.positional_embedding
    for i, block in enumerate(visual.transformer.resblocks):
        if i < len(prompts):
            mine = prompts[i].expand(len(images), -1, -1)
            x = torch.cat([x[:, : 1 + patches.shape[1]], mine], 1)
        if i == 0:
            x = visual.ln_pre(x)
        x = block(x) if block.attn.batch_first else block(x.transpose(0, 1)).transpose(0, 1)
    return F.normalize(visual.ln_post(x[:, 0]) @ visual.proj, dim=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_without_prompts_it_is_the_tower(towers, kind):
    tower = of_kind(towers, kind)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(PromptedVision(tower)(images), tower.encode_image(images), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_features_and_gradients_equal_those_of_the_towers_own_blocks(towers, kind, depth):
    tower = of_kind(towers, kind)
    torch.manual_seed(depth)
    prompts = (0.3 * torch.randn(depth, 2, 64, dtype=torch.float64)).requires_grad_()
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    got, wanted = PromptedVision(tower)(images, prompts), features(tower, images, prompts)
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11)
    assert (wanted - tower.encode_image(images)).abs().max() > 1e-3
    weights = torch.randn_like(wanted)
    mine, plain = (torch.autograd.grad((f * weights).sum(), prompts)[0] for f in (got, wanted))
    assert plain.flatten(1).abs().amax(1).min() > 1e-6
    torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-11)
    assert not any(p.requires_grad for p in tower.parameters())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 4e-2)])
def test_half_precisions(checkpoint, tower, dtype, tolerance):
    needs_on_cpu(dtype)
    half, images = load_tower(str(checkpoint), dtype=dtype), torch.randn(3, 3, 32, 32)
    prompts = (0.3 * torch.randn(2, 2, 64)).requires_grad_()
    got, wanted = PromptedVision(half)(images, prompts), PromptedVision(tower)(images, prompts)
    assert got.dtype == torch.float32 and (got - wanted).norm() / wanted.norm() < tolerance
    weights = torch.randn_like(wanted)
    mine, plain = (torch.autograd.grad((f * weights).sum(), prompts)[0] for f in (got, wanted))
    assert mine.dtype == torch.float32 and (mine - plain).norm() / plain.norm() < 5 * tolerance


def test_other_image_towers_are_refused_in_one_line(tower):
    others = [random_clip(vision_layers=(1, 1, 1, 1), image_size=64).visual, torch.nn.Linear(1, 1)]
    with contextlib.suppress(ModuleNotFoundError):
        from open_clip.transformer import VisionTransformer

        others.append(VisionTransformer(32, 8, 64, 2, 2, 4.0, output_dim=48, pool_type="avg"))
        others.append(VisionTransformer(32, 8, 64, 2, 2, 4.0, output_dim=48, attentional_pool=True))
    for visual in others:
        other = Tower("some/tower", visual, tower.text, 100.0, tower.preprocessing)
        with pytest.raises(
            InputError, match="'some/tower' takes no prompt tokens; OpenAI's vision transformers do"
        ) as e:
            PromptedVision(other)
        assert "\n" not in str(e.value)


def test_features_have_unit_norm(tower):
    got = PromptedVision(tower)(torch.randn(2, 3, 32, 32), torch.randn(1, 3, 64))
    torch.testing.assert_close(got, unit(got))
