"""Local features of a frozen image tower: one per place in an image, in the space of the text features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from prompting.losses import unit
from prompting.towers import Tower


@torch.no_grad()
def encode_local(tower: Tower, images: Tensor) -> Tensor:
    """(B, 3, size, size) preprocessed images -> (B, places, feature_dim) float32 local features of unit norm.

    OpenAI's ResNets: every place of the last feature map queries the attention pool, not only their mean. OpenAI's
    vision transformers: the patch tokens are normalised and projected like the class token. OpenCLIP's towers that
    average a feature map and project it linearly: every place is projected; their mean is the image's feature.

    Raises:
        InputError: the image tower is none of these.
    """
    local = _method_of(tower)
    return unit(local(tower.visual, images.to(tower.dtype, memory_format=torch.channels_last)))


def check_local(tower: Tower) -> None:
    """Raise InputError if `encode_local` does not support the tower."""
    _method_of(tower)


# The image towers are typed Any: their packages are untyped, and the three kinds have no parts in common.
def _method_of(tower: Tower) -> Callable[[Any, Tensor], Tensor]:
    visual: Any = tower.visual
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


def _of_resnet(visual: Any, images: Tensor) -> Tensor:
    pool, inputs = visual.attnpool, []
    handle = pool.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        visual(images)
    finally:
        handle.remove()
    x = inputs[0].flatten(2).transpose(1, 2)
    x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + pool.positional_embedding.to(x.dtype)
    q, k, v = (
        project(part).view(*part.shape[:2], pool.num_heads, -1).transpose(1, 2)
        for project, part in ((pool.q_proj, x[:, 1:]), (pool.k_proj, x), (pool.v_proj, x))
    )
    return pool.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _of_transformer(visual: Any, images: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    handle = visual.transformer.register_forward_hook(lambda _, args, output: outputs.append(output))
    try:
        visual(images)
    finally:
        handle.remove()
    return visual.ln_post(outputs[0].transpose(0, 1)[:, 1:]) @ visual.proj


def _of_averaged_map(visual: Any, images: Tensor) -> Tensor:
    return visual.head(visual.trunk.forward_features(images).flatten(2).transpose(1, 2))
