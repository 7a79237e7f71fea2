"""CLIP's text encoder, at the cost of the class names.

CLIP's text attention is causal and the feature is read at the end token. Two things follow, exactly and for any
weights:

* nothing after the end token influences anything, so no position is spent on padding a prompt to 77;
* prompts that begin alike have the same states there, at every layer: the start token of all prompts, the context of
  all classes of a task, "tomato leaf with" of all its diseases. Prompts are therefore laid out as one tree, in which a
  token that follows the same tokens is the same token, and each is computed once:

      [SOS] - context of task 1 - rose . EOT
           |                   `- tulip - . EOT
           |                           `- tree . EOT
           `- context of task 2 - ...

`pack` turns prompts into index tensors, once; `encode` runs the tower on them, at every step. All tokens of the tree
stand in one flat list, without padding, for everything that works token by token. For attention alone they are copied
to rows: a row holds several prompts, whole, with what they share once, and a mask lets each token see its ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from prompting.frozen import linear
from prompting.towers import TextBlock, TextTower

# A row's tokens attend over the whole row (masked), so longer rows waste attention, and shorter ones copy shared tokens
# more often. Between 16 and 48 tokens beyond the first prompt the time of a step differs by less than it scatters.
ROW_TOKENS = 32


@dataclass(frozen=True)
class PackedPrompts:
    """N prompts as index tensors: T tokens of a tree, copied to R rows of W places; at most M prompts end in a row.

    A token is an index: below len(vocabulary_rows) it means that row of ``vocabulary_rows``, above it counts context
    vectors.
    """

    vocabulary_rows: Tensor  # (V,) int64: the words that occur
    tokens: Tensor  # (T,) int64
    positions: Tensor  # (T,) int64: each token's position in its prompts
    rows: Tensor  # (R * W,) int64: the token that stands at each place; padding repeats the row's first
    place: Tensor  # (T,) int64: the first place at which each token stands
    mask: Tensor  # (R, 1, W, W) bool: what each place sees: itself and its ancestors
    ends: Tensor  # (N,) int64: each prompt's end token
    end_rows: Tensor  # (R * M,) int64: the prompts that end in each row, 0 for padding
    end_place: Tensor  # (N,) int64: where in ``end_rows`` each prompt stands
    end_mask: Tensor  # (R, 1, M, W) bool

    def to(self, device: torch.device | str) -> PackedPrompts:
        """The same on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def pack(prompts: Sequence[Sequence[int]], row_tokens: int = ROW_TOKENS) -> PackedPrompts:
    """Lay prompts (see prompting.prompts) out for `encode`; a row goes on until it is ``row_tokens`` longer than its
    first prompt."""
    tokens: list[int] = []
    depth: list[int] = []
    rows: list[dict[int, int]] = []  # token of the tree -> its column in the row
    before: list[list[int]] = []  # for each column of a row that of the token before it; a first token's is its own
    end_at: list[tuple[int, int]] = [(0, 0)] * len(prompts)  # row and column of each prompt's end
    ends = [0] * len(prompts)
    path: list[int] = []  # tokens of the prompt that came last
    last: Sequence[int] = ()
    room = 0
    for number in sorted(range(len(prompts)), key=prompts.__getitem__):  # those that begin alike come together
        prompt = prompts[number]
        shared = next((i for i, (a, b) in enumerate(zip(prompt, last, strict=False)) if a != b), len(last))
        path = path[:shared] + list(range(len(tokens), len(tokens) + len(prompt) - shared))
        last = prompt
        tokens += prompt[shared:]
        depth += range(shared, len(prompt))
        if not rows or len(rows[-1]) + len(prompt) - shared > room:
            rows.append({})
            before.append([])
            room = len(prompt) + row_tokens
        row = rows[-1]
        for i, token in enumerate(path):
            if token not in row:
                before[-1].append(row[path[i - 1]] if i else 0)
                row[token] = len(row)
        ends[number], end_at[number] = path[-1], (len(rows) - 1, row[path[-1]])

    width = max(map(len, rows))
    row_of = torch.tensor([[*row, *[next(iter(row))] * (width - len(row))] for row in rows])
    place = torch.empty(len(tokens), dtype=torch.long)
    for r in reversed(range(len(rows))):  # so that a token's first place is what stays
        place[row_of[r, : len(rows[r])]] = torch.arange(r * width, r * width + len(rows[r]))

    parent = torch.tensor([[*columns, *range(len(columns), width)] for columns in before])
    mask = torch.zeros(len(rows), width, width, dtype=torch.bool)
    ancestor = torch.arange(width).repeat(len(rows), 1)
    for _ in range(max(depth) + 1):
        mask.scatter_(2, ancestor.unsqueeze(2), True)
        ancestor = parent.gather(1, ancestor)

    ends_of: list[list[int]] = [[] for _ in rows]
    for number, (row, _) in enumerate(end_at):
        ends_of[row].append(number)
    n_ends = max(map(len, ends_of))
    end_rows = torch.tensor([[*of, *[0] * (n_ends - len(of))] for of in ends_of])
    end_column = torch.tensor([column for _, column in end_at])[end_rows]
    end_place = torch.empty(len(prompts), dtype=torch.long)
    for row, of in enumerate(ends_of):
        end_place[of] = torch.arange(row * n_ends, row * n_ends + len(of))

    token = torch.tensor(tokens)
    vocabulary_rows = token[token >= 0].unique()
    words = torch.searchsorted(vocabulary_rows, token.clamp(min=0))
    return PackedPrompts(
        vocabulary_rows=vocabulary_rows,
        tokens=torch.where(token >= 0, words, len(vocabulary_rows) - 1 - token),
        positions=torch.tensor(depth),
        rows=row_of.flatten(),
        place=place,
        mask=mask.unsqueeze(1),
        ends=torch.tensor(ends),
        end_rows=end_rows.flatten(),
        end_place=end_place,
        end_mask=mask.gather(1, end_column.unsqueeze(2).expand(-1, -1, width)).unsqueeze(1),
    )


def encode(tower: TextTower, packed: PackedPrompts, contexts: Tensor | None = None) -> Tensor:
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
        q, k, v = _rows(_project(block, block.ln_1(x), (0, 1, 2)), packed.rows, packed.mask)
        x = block.finish(x, _attend(q, k, v, packed.mask).index_select(0, packed.place))

    # Of the last layer only the end tokens are read, so only they ask and only they go on.
    normed = last.ln_1(x)
    k, v = _rows(_project(last, normed, (1, 2)), packed.rows, packed.mask)
    (q,) = _rows(_project(last, normed.index_select(0, packed.ends), (0,)), packed.end_rows, packed.end_mask)
    attended = _attend(q, k, v, packed.end_mask).index_select(0, packed.end_place)
    x = last.finish(x.index_select(0, packed.ends), attended)
    return tower.project(tower.ln_final(x).to(tower.dtype))


def _project(block: TextBlock, x: Tensor, which: tuple[int, ...]) -> Tensor:
    """Queries, keys, values (0, 1, 2) of flat tokens: (tokens, len(which), heads, head_dim)."""
    attention, width = block.attn, x.shape[-1]
    part = slice(which[0] * width, (which[-1] + 1) * width)
    projected = linear(x, attention.in_proj_weight[part], attention.in_proj_bias[part])
    return projected.unflatten(-1, (len(which), block.heads, -1))


def _rows(x: Tensor, rows: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """Copy flat (tokens, n, heads, head_dim) to rows: n times (R, length, heads, head_dim).

    By `embedding`, whose gradient adds up a token's copies in a fixed order on every device.
    """
    return F.embedding(rows, x.flatten(1)).view(len(mask), -1, *x.shape[1:]).unbind(2)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention in rows, (R, length, heads, head_dim), and back to a flat (R * length, width)."""
    attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return attended.transpose(1, 2).flatten(2).flatten(0, 1)
