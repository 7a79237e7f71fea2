"""Low-rank updates of frozen attention layers (LoRA, arXiv 2106.09685): what a tower computes with changed matrices,
while its own stay as they are.

Of every layer and each of query, key and value, with the frozen matrix W and its bias b:

    W x + b + alpha / sqrt(r) B A dropout(x)                        A (r, width), B (width, r)

A starts as a linear layer does (uniform within 1 / sqrt(width)), B as zeros, so that nothing changes at first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prompting.frozen import linear


class LowRank(nn.Module):
    """A and B of all attention layers of a tower; nothing else is learned.

    Args:
        layers: how many layers there are.
        width: of their states.
        rank: r.
        alpha: the update's weight, before it is divided by sqrt(r).
        dropout: share of an update's inputs that is left out in training, drawn for query, key and value each.
    """

    def __init__(self, layers: int, width: int, rank: int, alpha: float, dropout: float):
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.a = nn.Parameter(torch.empty(layers, 3, rank, width).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(layers, 3, width, rank))
        self.scale, self.dropout = alpha / math.sqrt(rank), dropout

    def forward(self, layer: int, x: Tensor, which: tuple[int, ...] = (0, 1, 2)) -> Tensor:
        """What is added to the projections of ``x`` (..., width): (..., len(which) * width) in its dtype.

        ``which`` are neighbours of query, key, value (0, 1, 2). Computed in the matrices' own dtype.
        """
        part = slice(which[0], which[-1] + 1)
        each = x.to(self.a.dtype).unsqueeze(-2).expand(*x.shape[:-1], len(which), -1)  # a dropout of its own for each
        low = torch.einsum("...nd,nrd->...nr", F.dropout(each, self.dropout, self.training), self.a[layer, part])
        return (self.scale * torch.einsum("...nr,nwr->...nw", low, self.b[layer, part])).flatten(-2).to(x.dtype)


class UpdatedAttention(nn.Module):
    """A frozen self-attention with the updates of its layer, in place of an nn.MultiheadAttention."""

    def __init__(self, attention: nn.MultiheadAttention, updates: LowRank, layer: int):
        super().__init__()
        self.frozen, self.updates, self.layer = attention, updates, layer

    def project(self, x: Tensor, which: tuple[int, ...]) -> Tensor:
        """Queries, keys, values (0, 1, 2) of flat tokens: (tokens, width) -> (tokens, len(which) * width)."""
        width = x.shape[-1]
        part = slice(which[0] * width, (which[-1] + 1) * width)
        frozen = linear(x, self.frozen.in_proj_weight[part], self.frozen.in_proj_bias[part])
        return frozen + self.updates(self.layer, x, which)

    @property
    def out_proj(self) -> nn.Linear:
        return self.frozen.out_proj

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_):
        """As nn.MultiheadAttention does when query, key and value are the same: (output, None)."""
        x = query if self.frozen.batch_first else query.transpose(0, 1)
        projected = self.project(x.flatten(0, 1), (0, 1, 2)).unflatten(-1, (3, self.frozen.num_heads, -1))
        q, k, v = projected.unflatten(0, x.shape[:2]).permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, head_dim)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).transpose(1, 2).flatten(2)
        out = linear(attended.flatten(0, 1), self.out_proj.weight, self.out_proj.bias).view_as(x)
        return out if self.frozen.batch_first else out.transpose(0, 1), None


@contextmanager
def updated(blocks: Sequence[nn.Module], updates: LowRank) -> Iterator[None]:
    """Inside, the attention layers ``attn`` of some blocks compute with their updates; afterwards as before."""
    before = [block.attn for block in blocks]
    try:
        for layer, (block, attention) in enumerate(zip(blocks, before, strict=True)):
            block.attn = UpdatedAttention(attention, updates, layer)
        yield
    finally:
        for block, attention in zip(blocks, before, strict=True):
            block.attn = attention


def image_blocks(visual: nn.Module) -> list[nn.Module] | None:
    """The blocks of an image tower that `updated` takes: a vision transformer's, OpenAI's or OpenCLIP's; None when the
    tower is of another kind."""
    blocks = list(getattr(getattr(visual, "transformer", None), "resblocks", []))
    fits = all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
    return blocks if blocks and fits and all(b.attn.in_proj_weight is not None for b in blocks) else None
