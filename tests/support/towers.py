"""Tiny random CLIPs, and the features of one computed with its own blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prompting.towers import Tower, import_clip

Module = TypeVar("Module", bound=nn.Module)


def random_clip(
    vision_layers: int | tuple[int, int, int, int] = 2,
    image_size: int = 32,
    text_width: int = 64,
    text_layers: int = 2,
    embed_dim: int = 48,
    seed: int = 0,
) -> Any:
    """OpenAI's CLIP at a toy size with random weights; a 4-tuple of ``vision_layers`` makes the image tower a ResNet.

    Returns:
        a `clip.model.CLIP`; the `clip` package is untyped.
    """
    torch.manual_seed(seed)
    model = import_clip().model.CLIP(
        embed_dim, image_size, vision_layers, 64, 8, 77, 49408, text_width, text_width // 64, text_layers
    )
    for name, parameter in model.named_parameters():  # biases start at zero, which would hide mistakes
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model


def in_double(module: Module) -> Module:
    """Convert a module to float64, in place.

    `clip`'s LayerNorm always computes in float32, so PyTorch's takes its place.
    """
    module.double()
    for part in module.modules():
        if isinstance(part, nn.LayerNorm):
            part.__class__ = nn.LayerNorm
    return module


def needs_on_cpu(dtype: torch.dtype) -> None:
    """Skip the test if this PyTorch cannot multiply or convolve in a dtype on the CPU (2.1 cannot in float16)."""
    try:
        F.linear(torch.ones(2, 2, dtype=dtype), torch.ones(2, 2, dtype=dtype))
        F.conv2d(torch.ones(1, 1, 2, 2, dtype=dtype), torch.ones(1, 1, 2, 2, dtype=dtype))
    except RuntimeError as error:
        pytest.skip(str(error))


def prompted_features(tower: Tower, images: Tensor, prompts: Tensor | Sequence[Tensor]) -> Tensor:
    """Image features with prompt tokens, computed with a vision transformer's own blocks.

    Args:
        tower: the tower; its blocks take tokens first (OpenAI) or images first (OpenCLIP).
        images: (B, 3, size, size), preprocessed.
        prompts: (depth, n, width), the prompts of the first ``depth`` blocks.

    Returns:
        (B, feature_dim) of unit norm.
    """
    visual: Any = tower.visual
    patches = F.conv2d(images, visual.conv1.weight, stride=visual.conv1.stride).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(images), 1, -1), patches], 1) + visual.positional_embedding
    for i, block in enumerate(visual.transformer.resblocks):
        if i < len(prompts):
            x = torch.cat([x[:, : 1 + patches.shape[1]], prompts[i].expand(len(images), -1, -1)], 1)
        if i == 0:
            x = visual.ln_pre(x)
        x = block(x) if block.attn.batch_first else block(x.transpose(0, 1)).transpose(0, 1)
    return F.normalize(visual.ln_post(x[:, 0]) @ visual.proj, dim=-1)
