"""OpenAI's and OpenCLIP's vision transformers in parts, and their features without a graph.

PyTorch's fused layers give a frozen tower's features in half of the time that the packages' own modules take on a CPU:
oneDNN multiplies and applies the activation in one pass, normalisation does not copy to float32 what is float32
already, sums are added in place, and the last block only computes the class token.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prompting import frozen
from prompting.low_rank import Attention, project
from prompting.models import ResidualBlock, VisionTransformer


def is_plain(visual: nn.Module) -> TypeGuard[VisionTransformer]:
    """Return whether an image tower is a vision transformer of usual blocks that is read at its class token."""
    kind = type(visual)
    if kind.__name__ != "VisionTransformer" or not kind.__module__.startswith(("clip.", "open_clip.")):
        return False
    read_at_class_token = getattr(visual, "pool_type", "tok") == "tok" and getattr(visual, "attn_pool", None) is None
    blocks = getattr(visual.transformer, "resblocks", ())
    plain = all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
    return read_at_class_token and plain and visual.proj is not None


def embedded(visual: VisionTransformer, images: Tensor) -> Tensor:
    """(B, 3, size, size) preprocessed images -> (B, 1 + patches, width): class token and patches, with positions."""
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
    return torch.cat([first, x], dim=1) + visual.positional_embedding.to(x.dtype)


def attend(attention: Attention, heads: int, x: Tensor, queries: int, mask: Tensor | None = None) -> Tensor:
    """(B, tokens, width) -> (B * queries, width): attention's result for the first ``queries`` tokens.

    ``mask`` is (queries, tokens) bool: the tokens that each query sees.
    """

    def split(tokens: Tensor, which: tuple[int, ...]) -> Tensor:
        """(B, tokens, width) -> (len(which), B, heads, tokens, head_dim)."""
        projected = project(attention, tokens.flatten(0, 1), which)
        return projected.view(*tokens.shape[:2], len(which), heads, -1).permute(2, 0, 3, 1, 4)

    if queries == x.shape[1]:
        q, k, v = split(x, (0, 1, 2))
    else:
        (q,) = split(x[:, :queries], (0,))
        k, v = split(x, (1, 2))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2).flatten(0, 1)


def is_fast(visual: nn.Module) -> TypeGuard[VisionTransformer]:
    """Return whether `encode` computes an image tower's features, and pays: in float32 on a CPU with oneDNN."""
    if not frozen.HAS_ONEDNN or not is_plain(visual):
        return False
    weight = visual.conv1.weight
    usual = all(type(block).__name__ == "ResidualAttentionBlock" for block in visual.transformer.resblocks)
    return usual and weight.device.type == "cpu" and weight.dtype == torch.float32


def features_of(visual: nn.Module, images: Tensor) -> Tensor:
    """Return the features of (B, 3, size, size) preprocessed images of any frozen image tower: (B, feature_dim)."""
    features = encode(visual, images) if is_fast(visual) else visual(images)
    return features[0] if isinstance(features, tuple) else features  # CoCa's has states beside it


@torch.no_grad()
def encode(visual: VisionTransformer, images: Tensor) -> Tensor:
    """Return the features of (B, 3, size, size) preprocessed images: (B, feature_dim), as ``visual(images)`` gives."""
    x = visual.ln_pre(embedded(visual, images))
    blocks = visual.transformer.resblocks
    for number, block in enumerate(blocks, 1):
        x = _run(block, x, queries=1 if number == len(blocks) else x.shape[1])
    return visual.ln_post(x[:, 0]) @ visual.proj


def _run(block: ResidualBlock, x: Tensor, queries: int) -> Tensor:
    """(B, tokens, width) -> (B, queries, width); it may overwrite ``x``."""
    out, mlp, scaled = block.attn.out_proj, block.mlp, nn.Identity()
    attended = attend(block.attn, block.attn.num_heads, _normalised(block.ln_1, x), queries)
    kept = x[:, :queries].flatten(0, 1)
    kept += getattr(block, "ls_1", scaled)(frozen.linear(attended, out.weight, out.bias))
    # QuickGELU, x sigmoid(c x), is silu(c x) / c: the normalisation multiplies by c, and the sum divides.
    kind = type(mlp.gelu).__name__
    c = 1.702 if kind == "QuickGELU" else 1.0
    hidden = _normalised(block.ln_2, kept, c)
    up, down = mlp.c_fc, mlp.c_proj
    if kind == "QuickGELU":
        hidden = frozen.linear_silu(hidden, up.weight, up.bias * c)
    elif kind == "GELU" and mlp.gelu.approximate == "none":
        hidden = frozen.linear_gelu(hidden, up.weight, up.bias)
    else:
        hidden = mlp.gelu(frozen.linear(hidden, up.weight, up.bias))
    kept.add_(getattr(block, "ls_2", scaled)(frozen.linear(hidden, down.weight, down.bias * c)), alpha=1 / c)
    return kept.unflatten(0, (len(x), queries))


def _normalised(norm: Any, x: Tensor, scale: float = 1.0) -> Tensor:
    """Return ``scale`` times the result of an nn.LayerNorm."""
    return F.layer_norm(x, norm.normalized_shape, norm.weight * scale, norm.bias * scale, norm.eps)
