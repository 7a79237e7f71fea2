"""Low-rank updates of frozen attention layers (LoRA, arXiv 2106.09685), without changing the layers' own weights.

The query, key and value matrix W of every layer, with bias b, computes

    W x + b + alpha / sqrt(r) B A dropout(x)                        A (r, width), B (width, r)

A starts like a linear layer (uniform within 1 / sqrt(width)) and B at zero, so a new update changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prompting.frozen import linear


class LowRank(nn.Module):
    """A and B for all attention layers of a tower; they are the only parameters.

    Args:
        layers: number of attention layers.
        width: of the layers' states.
        rank: r.
        alpha: weight of the update, before it is divided by sqrt(r).
        dropout: share of an update's inputs that training drops, drawn separately for query, key and value.
    """

    def __init__(self, layers: int, width: int, rank: int, alpha: float, dropout: float):
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.a = nn.Parameter(torch.empty(layers, 3, rank, width).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(layers, 3, width, rank))
        self.scale, self.dropout = alpha / math.sqrt(rank), dropout

    def forward(self, layer: int, x: Tensor, which: tuple[int, ...] = (0, 1, 2)) -> Tensor:
        """Return the update of the projections of ``x`` (..., width): (..., len(which) * width), in the dtype of ``x``.

        ``which`` is a consecutive part of query, key, value (0, 1, 2). The update is computed in the dtype of A and B.
        """
        part = slice(which[0], which[-1] + 1)
        inputs = x.to(self.a.dtype).unsqueeze(-2).expand(*x.shape[:-1], len(which), -1)
        low = torch.einsum("...nd,nrd->...nr", F.dropout(inputs, self.dropout, self.training), self.a[layer, part])
        return (self.scale * torch.einsum("...nr,nwr->...nw", low, self.b[layer, part])).flatten(-2).to(x.dtype)


class UpdatedAttention(nn.Module):
    """A frozen self-attention with its layer's updates; it takes the place of an nn.MultiheadAttention."""

    embed_dim: int
    num_heads: int
    batch_first: bool

    def __init__(self, attention: Attention, updates: LowRank, layer: int):
        super().__init__()
        self.frozen, self.updates, self.layer = attention, updates, layer
        self.embed_dim, self.num_heads = attention.embed_dim, attention.num_heads
        self.batch_first = attention.batch_first

    @property
    def out_proj(self) -> nn.Linear:
        return self.frozen.out_proj

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: object
    ) -> tuple[Tensor, None]:
        """Return (output, None), as nn.MultiheadAttention does; query, key and value must be the same tensor."""
        x = query if self.batch_first else query.transpose(0, 1)
        projected = project(self, x.flatten(0, 1), (0, 1, 2)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = projected.unflatten(0, x.shape[:2]).permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, head_dim)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).transpose(1, 2).flatten(2)
        out = linear(attended.flatten(0, 1), self.out_proj.weight, self.out_proj.bias).view_as(x)
        return out if self.batch_first else out.transpose(0, 1), None


Attention = nn.MultiheadAttention | UpdatedAttention


class AttentionBlock(Protocol):
    """A block of a transformer, seen as the owner of its attention layer."""

    attn: Attention


def project(attention: Attention, x: Tensor, which: tuple[int, ...]) -> Tensor:
    """Queries, keys, values (0, 1, 2) of flat tokens: (tokens, width) -> (tokens, len(which) * width)."""
    if isinstance(attention, UpdatedAttention):
        return project(attention.frozen, x, which) + attention.updates(attention.layer, x, which)
    width = x.shape[-1]
    part = slice(which[0] * width, (which[-1] + 1) * width)
    return linear(x, attention.in_proj_weight[part], attention.in_proj_bias[part])


@contextmanager
def updated(blocks: Sequence[AttentionBlock], updates: LowRank) -> Iterator[None]:
    """Let the attention layers of ``blocks`` compute with their updates until the context ends."""
    original = [block.attn for block in blocks]
    try:
        for layer, (block, attention) in enumerate(zip(blocks, original, strict=True)):
            block.attn = UpdatedAttention(attention, updates, layer)
        yield
    finally:
        for block, attention in zip(blocks, original, strict=True):
            block.attn = attention


def image_blocks(visual: nn.Module) -> list[AttentionBlock] | None:
    """The blocks of an image tower that `updated` takes; None unless it is an OpenAI or OpenCLIP vision transformer."""
    blocks = list(getattr(getattr(visual, "transformer", None), "resblocks", []))
    fits = all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
    return blocks if blocks and fits and all(b.attn.in_proj_weight is not None for b in blocks) else None


def encode_updated(visual: nn.Module, updates: LowRank, images: Tensor) -> Tensor:
    """(B, 3, size, size) images in a frozen vision transformer's dtype -> (B, feature_dim) with updates, as it gives
    them."""
    blocks = image_blocks(visual)
    assert blocks is not None  # whoever built the updates has checked
    with updated(blocks, updates):
        return visual(images.contiguous(memory_format=torch.channels_last))
