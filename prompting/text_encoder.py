"""CLIP's text encoder, at the cost of the class names.

CLIP's text attention is causal and the feature is read at the end token. Two things follow, exactly and for any
weights:

* nothing after the end token influences anything, so no position is spent on padding a prompt to 77;
* prompts that begin alike (start token and context of a task, say) have the same states there, at every layer. That
  beginning, the prefix, is computed once, and each prompt adds only its own tokens, which attend to the prefix's keys
  and values and to themselves.

`pack` turns prompts into index tensors, once; `encode` runs the tower on them, at every step. Own tokens are packed
into rows of one prefix each: a row may hold several prompts, kept apart by a block mask, so that short names waste no
room.

    row of task t:   [keys of prefix t] [name a . EOT][name b . EOT][name c . EOT] pad
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A row's own tokens all attend over the whole row (masked), so long rows waste attention and short ones waste padding.
ROW_TOKENS = 48


@dataclass(frozen=True)
class PackedPrompts:
    """Prompts as index tensors. G prefixes of P tokens, R rows of W own tokens, N prompts, at most M prompts in a row.

    An index < len(vocabulary_rows) means that row of ``vocabulary_rows``; above, it counts the flat context vectors.
    """

    vocabulary_rows: Tensor  # (V,) int64: the tokens that occur
    prefix: Tensor  # (G, P) int64 index
    own: Tensor  # (R, W) int64 index
    own_position: Tensor  # (R, W) int64: position in the prompt
    row_prefix: Tensor  # (R,) int64: the prefix that the row's prompts begin with
    mask: Tensor  # (R, 1, W, P + W) bool: what each own token sees
    end: Tensor  # (R, M) int64: columns of the end tokens
    end_mask: Tensor  # (R, 1, M, P + W) bool
    order: Tensor  # (N,) int64: where prompt n stands in the flattened (R, M)
    one_row_each: bool  # row r has prefix r, so that prefixes need no copying to rows

    def to(self, device: torch.device | str) -> PackedPrompts:
        """The same on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) if isinstance(v, Tensor) else v for k, v in moved.items()})

    @property
    def n_tokens(self) -> int:
        """Positions that the tower computes, padding of rows included."""
        return self.prefix.numel() + self.own.numel()


def pack(prompts: Sequence[Sequence[int]], row_tokens: int = ROW_TOKENS) -> PackedPrompts:
    """Lay prompts (see prompting.prompts) out for `encode`.

    The prefix of a prompt is its start token and the context slots right behind it; its length is the same for all.
    """
    n_prefix = min(next(i for i, token in enumerate(prompt[1:], 1) if token >= 0) for prompt in prompts)
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        groups.setdefault(tuple(prompt[:n_prefix]), []).append(number)

    rows: list[tuple[int, list[int]]] = []  # (prefix, prompts of the row)
    for group, members in enumerate(groups.values()):
        used = row_tokens  # full: the first prompt opens a row
        for number in members:
            length = len(prompts[number]) - n_prefix
            if used + length > row_tokens:
                rows.append((group, []))
                used = 0
            rows[-1][1].append(number)
            used += length

    n_rows, width = len(rows), max(sum(len(prompts[n]) - n_prefix for n in members) for _, members in rows)
    n_end = max(len(members) for _, members in rows)
    start = prompts[0][0]
    own = torch.full((n_rows, width), start)
    position = torch.zeros(n_rows, width, dtype=torch.long)
    member = torch.full((n_rows, width), -1)
    end = torch.zeros(n_rows, n_end, dtype=torch.long)
    order = torch.zeros(len(prompts), dtype=torch.long)
    for row, (_, members) in enumerate(rows):
        column = 0
        for place, number in enumerate(members):
            tokens = torch.tensor(prompts[number][n_prefix:])
            here = slice(column, column + len(tokens))
            own[row, here] = tokens
            position[row, here] = torch.arange(n_prefix, n_prefix + len(tokens))
            member[row, here] = number
            column += len(tokens)
            end[row, place] = column - 1
            order[number] = row * n_end + place

    # An own token sees its prefix and what precedes it in its own prompt; padding sees the prefix, so that no softmax
    # is empty.
    same = (member.unsqueeze(2) == member.unsqueeze(1)) & (member.unsqueeze(2) >= 0)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(n_rows, width, n_prefix, dtype=torch.bool), same & causal], dim=2)
    end_mask = mask.gather(1, end.unsqueeze(2).expand(-1, -1, mask.shape[2]))

    prefix = torch.tensor(list(groups))
    row_prefix = [group for group, _ in rows]
    both = torch.cat([prefix.flatten(), own.flatten()])
    vocabulary_rows = both[both >= 0].unique()

    def index(tokens: Tensor) -> Tensor:
        return torch.where(
            tokens >= 0, torch.searchsorted(vocabulary_rows, tokens.clamp(min=0)), len(vocabulary_rows) - 1 - tokens
        )

    return PackedPrompts(
        vocabulary_rows=vocabulary_rows,
        prefix=index(prefix),
        own=index(own),
        own_position=position,
        row_prefix=torch.tensor(row_prefix),
        mask=mask.unsqueeze(1),
        end=end,
        end_mask=end_mask.unsqueeze(1),
        order=order,
        one_row_each=row_prefix == list(range(len(groups))),
    )


def encode(tower: nn.Module, packed: PackedPrompts, contexts: Tensor | None = None) -> Tensor:
    """Text features of packed prompts.

    Args:
        tower: a text tower (prompting.towers.TextTower).
        packed: N prompts, on the tower's device.
        contexts: (C, n_ctx, ctx_dim), the vectors that the slots of the prompts refer to; None when there are no slots.

    Returns:
        (N, feature_dim) in the tower's dtype, not normalised. Gradients flow to ``contexts``.
    """
    n_groups, n_prefix = packed.prefix.shape
    n_rows, width = packed.own.shape
    table = tower.token_embedding.weight[packed.vocabulary_rows]
    if contexts is not None:
        table = torch.cat([table.to(contexts.dtype), contexts.flatten(0, -2)])
    index = torch.cat([packed.prefix.flatten(), packed.own.flatten()])
    position = torch.cat([torch.arange(n_prefix, device=index.device).repeat(n_groups), packed.own_position.flatten()])
    # Prefix tokens first, then own tokens, in one flat list: all but attention works token by token.
    x = F.embedding(index, table).to(tower.dtype) + tower.positional_embedding[position].to(tower.dtype)
    split = n_groups * n_prefix
    own_rows = None if packed.one_row_each else packed.row_prefix

    *blocks, last = tower.blocks
    for block in blocks:
        q, k, v = _project(block.attn, block.ln_1(x), block.heads)
        prefix = [_heads(t[:split], n_groups) for t in (q, k, v)]
        own_q, own_k, own_v = (_heads(t[split:], n_rows) for t in (q, k, v))
        seen_k, seen_v = (_seen(p, o, own_rows) for p, o in ((prefix[1], own_k), (prefix[2], own_v)))
        on_prefix = F.scaled_dot_product_attention(*prefix, is_causal=True)
        on_own = F.scaled_dot_product_attention(own_q, seen_k, seen_v, attn_mask=packed.mask)
        attended = torch.cat([_flat(on_prefix), _flat(on_own)])
        x = block.finish(x, attended)

    # Only the end tokens of the last layer are read, so only they are asked and computed there.
    normed = last.ln_1(x)
    ends = (packed.end + torch.arange(n_rows, device=index.device).unsqueeze(1) * width).flatten() + split
    q = _project(last.attn, normed[ends], last.heads, (0,))[0]
    k, v = _project(last.attn, normed, last.heads, (1, 2))
    seen_k, seen_v = (_seen(_heads(t[:split], n_groups), _heads(t[split:], n_rows), own_rows) for t in (k, v))
    attended = F.scaled_dot_product_attention(_heads(q, n_rows), seen_k, seen_v, attn_mask=packed.end_mask)
    x = last.finish(x[ends][packed.order], _flat(attended)[packed.order])
    return tower.project(tower.ln_final(x).to(tower.dtype))


def _project(
    attention: nn.MultiheadAttention, x: Tensor, heads: int, which: tuple[int, ...] = (0, 1, 2)
) -> tuple[Tensor, ...]:
    """Queries, keys and values (0, 1, 2) of flat tokens: each (tokens, heads, head_dim)."""
    width = x.shape[-1]
    rows = slice(which[0] * width, (which[-1] + 1) * width)
    projected = F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    return projected.unflatten(-1, (len(which), heads, -1)).unbind(1)


def _heads(x: Tensor, n: int) -> Tensor:
    """(n * length, heads, head_dim) -> (n, heads, length, head_dim)"""
    return x.unflatten(0, (n, -1)).transpose(1, 2)


def _flat(x: Tensor) -> Tensor:
    """(n, heads, length, head_dim) -> (n * length, width)"""
    return x.transpose(1, 2).flatten(2).flatten(0, 1)


def _seen(prefix: Tensor, own: Tensor, row_prefix: Tensor | None) -> Tensor:
    """Keys (or values) that a row sees: those of its prefix, then its own. ``row_prefix`` None: row r has prefix r."""
    return torch.cat([prefix if row_prefix is None else prefix[row_prefix], own], dim=2)
