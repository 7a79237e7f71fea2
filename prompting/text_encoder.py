"""CLIP's text encoder, at the cost of the class names.

CLIP's text attention is causal and the feature is read at the end token. Two things follow, exactly and for any
weights:

* nothing after the end token influences anything, so no position is spent on padding a prompt to 77;
* prompts that begin alike (start token and context of a task, say) have the same states there, at every layer. That
  beginning, the prefix, is computed once, and each prompt adds only its own tokens, which attend to the prefix's keys
  and values and to themselves.

`pack` turns prompts into index tensors, once; `encode` runs the tower on them, at every step. All tokens stand in one
flat list, without padding, for everything that works token by token. For attention alone, own tokens are gathered into
rows: a row belongs to one prefix and holds several prompts, kept apart by a mask.

    row of task t:   [keys of prefix t] [name a . EOT][name b . EOT][name c . EOT] pad
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A row's own tokens all attend over the whole row (masked), so longer rows waste attention and shorter ones copy more
# keys.
ROW_TOKENS = 48


@dataclass(frozen=True)
class PackedPrompts:
    """N prompts as index tensors: G prefixes of P tokens, T own tokens in R rows of at most W, at most M prompts a row.

    A token is an index: below len(vocabulary_rows) it means that row of ``vocabulary_rows``, above it counts context
    vectors.
    """

    vocabulary_rows: Tensor  # (V,) int64: the words that occur
    tokens: Tensor  # (G * P + T,) int64: first the prefixes, one after the other, then the own tokens
    positions: Tensor  # (G * P + T,) int64: each token's position in its prompt
    n_prefixes: int  # G
    prefix_tokens: int  # G * P
    rows: Tensor  # (R, W) int64: which own token stands there, 0 for padding
    row_prefix: Tensor  # (R,) int64: the prefix that the row's prompts begin with
    place: Tensor  # (T,) int64: where in the flattened rows each own token stands
    mask: Tensor  # (R, 1, W, P + W) bool: what each own token sees
    ends: Tensor  # (N,) int64: index in ``tokens`` of each prompt's end token
    end_rows: Tensor  # (R, M) int64: which prompts end in the row, 0 for padding
    end_place: Tensor  # (N,) int64: where in the flattened end_rows each prompt stands
    end_mask: Tensor  # (R, 1, M, P + W) bool
    one_row_each: bool  # row r has prefix r, so that prefixes need no copying to rows

    def to(self, device: torch.device | str) -> PackedPrompts:
        """The same on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) if isinstance(v, Tensor) else v for k, v in moved.items()})


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
    own: list[int] = []
    positions: list[int] = []
    row_of = torch.zeros(n_rows, width, dtype=torch.long)
    prompt_at = torch.full((n_rows, width), -1)
    place: list[int] = []
    end_column = torch.zeros(n_rows, n_end, dtype=torch.long)
    end_rows = torch.zeros(n_rows, n_end, dtype=torch.long)
    ends, end_place = torch.zeros(len(prompts), dtype=torch.long), torch.zeros(len(prompts), dtype=torch.long)
    for row, (_, members) in enumerate(rows):
        column = 0
        for slot, number in enumerate(members):
            length = len(prompts[number]) - n_prefix
            here = slice(column, column + length)
            row_of[row, here] = torch.arange(len(own), len(own) + length)
            prompt_at[row, here] = number
            place += range(row * width + column, row * width + column + length)
            own += prompts[number][n_prefix:]
            positions += range(n_prefix, n_prefix + length)
            column += length
            end_column[row, slot] = column - 1
            end_rows[row, slot] = number
            ends[number], end_place[number] = len(own) - 1, row * n_end + slot

    # An own token sees its prefix and what precedes it in its own prompt; padding sees the prefix, so that no softmax
    # is empty.
    same = (prompt_at.unsqueeze(2) == prompt_at.unsqueeze(1)) & (prompt_at.unsqueeze(2) >= 0)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(n_rows, width, n_prefix, dtype=torch.bool), same & causal], dim=2)
    end_mask = mask.gather(1, end_column.unsqueeze(2).expand(-1, -1, mask.shape[2]))

    prefix_tokens = len(groups) * n_prefix
    tokens = torch.tensor([token for prefix in groups for token in prefix] + own)
    vocabulary_rows = tokens[tokens >= 0].unique()
    words = torch.searchsorted(vocabulary_rows, tokens.clamp(min=0))
    row_prefix = [group for group, _ in rows]
    return PackedPrompts(
        vocabulary_rows=vocabulary_rows,
        tokens=torch.where(tokens >= 0, words, len(vocabulary_rows) - 1 - tokens),
        positions=torch.cat([torch.arange(n_prefix).repeat(len(groups)), torch.tensor(positions)]),
        n_prefixes=len(groups),
        prefix_tokens=prefix_tokens,
        rows=row_of,
        row_prefix=torch.tensor(row_prefix),
        place=torch.tensor(place),
        mask=mask.unsqueeze(1),
        ends=ends + prefix_tokens,
        end_rows=end_rows,
        end_place=end_place,
        end_mask=end_mask.unsqueeze(1),
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
    table = tower.token_embedding.weight[packed.vocabulary_rows]
    if contexts is not None:
        table = torch.cat([table.to(contexts.dtype), contexts.flatten(0, -2)])
    x = F.embedding(packed.tokens, table).to(tower.dtype)
    x = x + tower.positional_embedding[packed.positions].to(tower.dtype)
    last = tower.blocks[-1]
    for block in tower.blocks[:-1]:
        q, k, v = _project(block.attn, block.ln_1(x), block.heads, (0, 1, 2))
        prefix_q, own_q = _split(q, packed)
        prefix_k, own_k = _split(k, packed)
        prefix_v, own_v = _split(v, packed)
        on_prefix = F.scaled_dot_product_attention(prefix_q, prefix_k, prefix_v, is_causal=True)
        seen_k, seen_v = _seen(prefix_k, own_k, packed), _seen(prefix_v, own_v, packed)
        on_own = F.scaled_dot_product_attention(own_q, seen_k, seen_v, attn_mask=packed.mask)
        x = block.finish(x, torch.cat([_flat(on_prefix), _flat(on_own)[packed.place]]))

    # Of the last layer only the end tokens are read, so only they ask and only they go on.
    normed = last.ln_1(x)
    (q,) = _project(last.attn, normed[packed.ends], last.heads, (0,))
    k, v = _project(last.attn, normed, last.heads, (1, 2))
    seen_k, seen_v = _seen(*_split(k, packed), packed), _seen(*_split(v, packed), packed)
    attended = F.scaled_dot_product_attention(
        q[packed.end_rows].transpose(1, 2), seen_k, seen_v, attn_mask=packed.end_mask
    )
    x = last.finish(x[packed.ends], _flat(attended)[packed.end_place])
    return tower.project(tower.ln_final(x).to(tower.dtype))


def _project(attention: nn.MultiheadAttention, x: Tensor, heads: int, which: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Queries, keys, values (0, 1, 2) of flat tokens: each (tokens, heads, head_dim)."""
    width = x.shape[-1]
    part = slice(which[0] * width, (which[-1] + 1) * width)
    projected = F.linear(x, attention.in_proj_weight[part], attention.in_proj_bias[part])
    return projected.unflatten(-1, (len(which), heads, -1)).unbind(1)


def _split(x: Tensor, packed: PackedPrompts) -> tuple[Tensor, Tensor]:
    """Flat (tokens, heads, head_dim) -> prefixes (G, heads, P, head_dim) and rows (R, heads, W, head_dim)."""
    prefix, own = x[: packed.prefix_tokens], x[packed.prefix_tokens :]
    return prefix.unflatten(0, (packed.n_prefixes, -1)).transpose(1, 2), own[packed.rows].transpose(1, 2)


def _seen(prefix: Tensor, own: Tensor, packed: PackedPrompts) -> Tensor:
    """Keys (or values) that rows see: (R, heads, P + W, head_dim), those of the row's prefix and then its own."""
    return torch.cat([prefix if packed.one_row_each else prefix[packed.row_prefix], own], dim=2)


def _flat(x: Tensor) -> Tensor:
    """(n, heads, length, head_dim) -> (n * length, width)"""
    return x.transpose(1, 2).flatten(2).flatten(0, 1)
