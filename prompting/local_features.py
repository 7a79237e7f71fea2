"""Local features of a frozen image tower: one for each place of an image, in the space of its text features."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from prompting.losses import unit
from prompting.towers import Tower


@torch.no_grad()
def encode_local(tower: Tower, images: Tensor) -> Tensor:
    """(B, 3, size, size) preprocessed images -> (B, places, feature_dim) float32 local features of unit norm.

    OpenAI's ResNets: the attention pool asked by every place of the last feature map instead of by their mean alone.
    OpenAI's vision transformers: the patch tokens, normalised and projected as the class token is. OpenCLIP's towers
    that average a feature map and project it linearly: every place projected; the mean of that is the image's feature.

    Raises:
        InputError: the image tower is none of these.
    """
    visual = tower.visual
    local = _how(tower)
    return unit(local(visual, images.to(tower.dtype, memory_format=torch.channels_last)))


def check_local(tower: Tower) -> None:
    """InputError, in one line, when `encode_local` cannot do a tower."""
    _how(tower)


def _how(tower: Tower) -> Callable[[nn.Module, Tensor], Tensor]:
    visual = tower.visual
    if type(visual).__module__.startswith("clip."):
        return _of_resnet if hasattr(visual, "attnpool") else _of_transformer
    pool = getattr(getattr(visual, "trunk", None), "global_pool", None)
    linear = (nn.Linear, nn.Dropout, nn.Identity)
    if getattr(pool, "pool_type", None) == "avg" and all(isinstance(m, linear) for m in visual.head.children()):
        return _of_averaged_map
    raise InputError(
        f"The image tower of '{tower.name}' gives no local features; OpenAI's ResNets and vision transformers do, and "
        "OpenCLIP's towers that average a feature map."
    )


def _of_resnet(visual: nn.Module, images: Tensor) -> Tensor:
    pool, seen = visual.attnpool, []
    handle = pool.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        visual(images)
    finally:
        handle.remove()
    x = seen[0].flatten(2).transpose(1, 2)
    x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + pool.positional_embedding.to(x.dtype)
    q, k, v = (
        project(part).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
        for project, part in ((pool.q_proj, x[:, 1:]), (pool.k_proj, x), (pool.v_proj, x))
    )
    return pool.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _of_transformer(visual: nn.Module, images: Tensor) -> Tensor:
    seen = []
    handle = visual.transformer.register_forward_hook(lambda _, given, tokens: seen.append(tokens))
    try:
        visual(images)
    finally:
        handle.remove()
    return visual.ln_post(seen[0].transpose(0, 1)[:, 1:]) @ visual.proj


def _of_averaged_map(visual: nn.Module, images: Tensor) -> Tensor:
    return visual.head(visual.trunk.forward_features(images).flatten(2).transpose(1, 2))
