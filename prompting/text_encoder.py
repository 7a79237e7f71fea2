"""CLIP's text encoder, for little more than the cost of the class names.

CLIP's text attention is causal and the feature is read at the end token. Two things follow, exactly and for any
weights:

* positions after the end token do not affect the feature, so prompts are not padded to 77 tokens;
* prompts that share their first tokens share the states at these tokens, in every layer: the start token of all
  prompts, the context of all classes of a task, "tomato leaf with" of all its diseases. Prompts are therefore laid out
  as one tree, in which tokens with the same predecessors are one node, and each node is computed once:

      [SOS] - context of task 1 - rose . EOT
           |                   `- tulip - . EOT
           |                           `- tree . EOT
           `- context of task 2 - ...

`pack` turns prompts into index tensors, once; `encode` runs the tower on them, at every step. For everything that works
token by token, all tokens of the tree are in one flat list without padding. Only for attention are they copied to rows.
A row holds several complete prompts, their shared tokens once, and a mask lets each token see its ancestors.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from common.errors import InputError
from prompting.low_rank import project
from prompting.padded_text import AnyText, PaddedPrompts, PaddedText
from prompting.prompts import with_context
from prompting.text_memory import SMALL, saved_bytes
from prompting.text_tower import Block

# A row's tokens attend to the whole row (masked), so longer rows waste attention and shorter ones copy shared tokens
# more often. Between 16 and 48 tokens beyond the first prompt, the time per step differs by less than its variation.
ROW_TOKENS = 32
SAMPLE_TOKENS = 256  # of the prompts whose activations are measured, to know how many fit in memory


@dataclass(frozen=True)
class PackedPrompts:
    """N prompts as index tensors: T tokens of a tree, copied to R rows of W places; at most M prompts end in a row.

    Tokens below len(vocabulary_rows) are indices into ``vocabulary_rows``; those above number the context vectors.
    """

    vocabulary_rows: Tensor  # (V,) int64: the vocabulary's tokens that occur
    tokens: Tensor  # (T,) int64
    positions: Tensor  # (T,) int64: each token's position in its prompts
    rows: Tensor  # (R * W,) int64: the token at each place, 0 for padding
    place: Tensor  # (T,) int64: the first place of each token
    mask: Tensor  # (R, 1, W, W) bool: each place sees itself and its ancestors
    ends: Tensor  # (N,) int64: each prompt's end token
    end_rows: Tensor  # (R * M,) int64: the prompts that end in each row, 0 for padding
    end_place: Tensor  # (N,) int64: the place of each prompt in ``end_rows``
    end_mask: Tensor  # (R, 1, M, W) bool

    def to(self, device: torch.device | str) -> PackedPrompts:
        """Return a copy on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True)
class SplitPrompts:
    """N prompts in parts of consecutive ones; the activations of each part fit in memory.

    vectors: of each part, the range of the context vectors that its slots refer to; the part counts them from 0.
    """

    parts: tuple[PackedPrompts | PaddedPrompts, ...]
    vectors: tuple[tuple[int, int], ...]

    def to(self, device: torch.device | str) -> SplitPrompts:
        """Return a copy on another device."""
        return replace(self, parts=tuple(part.to(device) for part in self.parts))


Packed = PackedPrompts | PaddedPrompts | SplitPrompts


@dataclass
class _Tree:
    """Prompts as paths of one tree."""

    tokens: list[int]  # of each node: a token of the vocabulary or a context slot
    before: list[int]  # the node before each; the first node's is itself
    depth: list[int]
    paths: dict[int, list[int]]  # prompt -> its nodes; prompts that share a beginning are adjacent

    @classmethod
    def of(cls, prompts: Sequence[list[int]]) -> _Tree:
        tree = cls([], [], [], {})
        last: list[int] = []
        path: list[int] = []
        for number in sorted(range(len(prompts)), key=lambda number: prompts[number]):
            prompt = prompts[number]
            shared = _shared(prompt, last)
            new = range(len(tree.tokens), len(tree.tokens) + len(prompt) - shared)
            last, path = prompt, [*path[:shared], *new]
            tree.tokens += prompt[shared:]
            tree.before += [path[max(i - 1, 0)] for i in range(shared, len(prompt))]
            tree.depth += range(shared, len(prompt))
            tree.paths[number] = path
        return tree

    def rows(self, row_tokens: int) -> tuple[list[dict[int, int]], list[list[int]]]:
        """Return the nodes of every row, each with its column, and the prompts that end in it."""
        rows: list[dict[int, int]] = []
        prompts: list[list[int]] = []
        room = 0
        for number, path in self.paths.items():
            if not rows or len(rows[-1].keys() | path) > room:
                rows.append({})
                prompts.append([])
                room = len(path) + row_tokens
            for node in path:
                rows[-1].setdefault(node, len(rows[-1]))
            prompts[-1].append(number)
        return rows, prompts


def _shared(prompt: list[int], other: list[int]) -> int:
    """Return the number of tokens at the beginning that are equal."""
    pairs = zip(prompt, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(prompt), len(other)))


def pack(prompts: Sequence[list[int]], row_tokens: int = ROW_TOKENS) -> PackedPrompts:
    """Convert prompts (see prompting.prompts) for `encode`.

    A row is at most ``row_tokens`` longer than its first prompt.
    """
    tree = _Tree.of(prompts)
    rows, ending = tree.rows(row_tokens)
    width, n_ends = max(map(len, rows)), max(map(len, ending))

    place = torch.empty(len(tree.tokens), dtype=torch.long)
    for r, row in reversed(list(enumerate(rows))):  # reversed, so that a node's first place is kept
        place[list(row)] = torch.arange(r * width, r * width + len(row))
    before = [[row[tree.before[node]] for node in row] + list(range(len(row), width)) for row in rows]
    mask = _ancestors(torch.tensor(before), max(tree.depth) + 1)

    end_column = torch.zeros(len(rows), n_ends, dtype=torch.long)
    end_place = torch.empty(len(prompts), dtype=torch.long)
    for r, (row, numbers) in enumerate(zip(rows, ending, strict=True)):
        end_column[r, : len(numbers)] = torch.tensor([row[tree.paths[number][-1]] for number in numbers])
        end_place[numbers] = torch.arange(r * n_ends, r * n_ends + len(numbers))

    token = torch.tensor(tree.tokens)
    vocabulary_rows = token[token >= 0].unique()
    index = torch.searchsorted(vocabulary_rows, token.clamp(min=0))
    return PackedPrompts(
        vocabulary_rows=vocabulary_rows,
        tokens=torch.where(token >= 0, index, len(vocabulary_rows) - 1 - token),
        positions=torch.tensor(tree.depth),
        rows=torch.tensor([node for row in rows for node in [*row] + [0] * (width - len(row))]),
        place=place,
        mask=mask.unsqueeze(1),
        ends=torch.tensor([tree.paths[number][-1] for number in range(len(prompts))]),
        end_rows=torch.tensor([number for numbers in ending for number in numbers + [0] * (n_ends - len(numbers))]),
        end_place=end_place,
        end_mask=mask.gather(1, end_column.unsqueeze(2).expand(-1, -1, width)).unsqueeze(1),
    )


def _ancestors(before: Tensor, depth: int) -> Tensor:
    """(R, W) column of each token's predecessor -> (R, W, W) bool: is the second the first column or its ancestor?"""
    seen = torch.zeros(*before.shape, before.shape[1], dtype=torch.bool)
    ancestor = torch.arange(before.shape[1]).repeat(len(before), 1)
    for _ in range(depth):
        seen.scatter_(2, ancestor.unsqueeze(2), True)
        ancestor = before.gather(1, ancestor)
    return seen


def pack_for(tower: AnyText, prompts: Sequence[list[int]]) -> Packed:
    """Convert prompts for `encode` with this tower: to a tree, or to padded rows.

    If ``tower.memory`` is set and says that the activations of all prompts do not fit, they are split into parts.
    """

    def lay(part: Sequence[list[int]]) -> PackedPrompts | PaddedPrompts:
        return tower.pack(part) if isinstance(tower, PaddedText) else pack(part)

    costs = _costs(tower, prompts)
    if tower.memory is None or sum(costs) <= SMALL:
        return lay(prompts)
    sample = prompts[: bisect_left(list(accumulate(costs)), SAMPLE_TOKENS) + 1]
    most = tower.memory.tokens(tower.device, lambda: _bytes_per_token(tower, lay, sample))
    if sum(costs) <= most:
        return lay(prompts)
    parts: list[list[list[int]]] = []
    room = 0
    for prompt, cost in zip(prompts, costs, strict=True):
        if not parts or cost > room:
            parts.append([])
            room, cost = most, max(cost, len(prompt))
        parts[-1].append(prompt)
        room -= cost
    tower.memory.report(sum(costs), len(parts))
    ranges = [_vectors(part) for part in parts]
    counted = [[with_context(p, -first, 1) for p in part] for part, (first, _) in zip(parts, ranges, strict=True)]
    return SplitPrompts(tuple(map(lay, counted)), tuple(ranges))


def _costs(tower: AnyText, prompts: Sequence[list[int]]) -> list[int]:
    """Return the tokens that each prompt adds to those before it."""
    if isinstance(tower, PaddedText):
        return [tower.vocabulary.length] * len(prompts)
    costs = []
    last: list[int] = []
    for prompt in prompts:
        costs.append(len(prompt) - _shared(prompt, last))
        last = prompt
    return costs


def _vectors(prompts: Sequence[list[int]]) -> tuple[int, int]:
    """Return the range of context vectors that prompts refer to; (0, 0) without slots."""
    used = [-1 - token for prompt in prompts for token in prompt if token < 0]
    return (min(used), max(used) + 1) if used else (0, 0)


def _bytes_per_token(
    tower: AnyText, lay: Callable[[Sequence[list[int]]], Packed], prompts: Sequence[list[int]]
) -> float:
    """Return the bytes that autograd keeps for a token of prompts like these, with a context vector in each."""
    prompts = [[*prompt[:1], -1, *prompt[2:]] for prompt in prompts]
    packed = lay(prompts).to(tower.device)
    vectors = torch.zeros(1, _vectors(prompts)[1], tower.width, device=tower.device, requires_grad=True)
    return saved_bytes(lambda: encode(tower, packed, vectors), tower) / sum(_costs(tower, prompts))


def blocks_of(tower: AnyText, method: str) -> Sequence[Block]:
    """Return the blocks of a causal text tower; raises InputError, which names the method, for any other."""
    if not isinstance(tower, PaddedText):
        return tower.blocks
    raise InputError(
        f"{method} changes the blocks of a causal text tower, and this tower's are not reached ({tower.why}); choose "
        "a method that learns contexts alone, such as SoftCPT or CoOp, or another tower."
    )


def encode(
    tower: AnyText,
    packed: Packed,
    contexts: Tensor | None = None,
    deep: Sequence[Tensor] = (),
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
    encode_part: Callable[..., Tensor] | None = None,
) -> Tensor:
    """Return the text features of packed prompts.

    Prompts that were split are encoded part by part without keeping activations. The backward pass encodes each part
    again, so the gradient is the same, only one part's activations exist at a time, and a step has one more forward
    pass (gradient caching, arXiv 2101.06983).

    Args:
        tower: the text tower.
        packed: N prompts from `pack_for`, on the tower's device.
        contexts: (C, n_ctx, ctx_dim), the vectors that the prompts' slots refer to; None if there are no slots.
        deep: tensors like ``contexts``, fewer than the tower has blocks. Before block i, counted from 0, the vectors in
            ``deep[i - 1]`` replace the states at the slots (MaPLe, arXiv 2210.03117, section 3.1). A slot's replacement
            depends only on the slot, so prompts that share their first tokens still share the states there.
        within: returns the context in which the tower runs, in the forward and in the backward pass.
        encode_part: a compiled version of `encode_whole`, if there is one.

    Returns:
        (N, feature_dim) in the tower's dtype, not normalised. Gradients flow to ``contexts`` and ``deep``.
    """

    def run(part: PackedPrompts | PaddedPrompts, contexts: Tensor | None, deep: Sequence[Tensor]) -> Tensor:
        with within():
            return (encode_part or encode_whole)(tower, part, contexts, deep)

    if not isinstance(packed, SplitPrompts):
        return run(packed, contexts, deep)

    features: list[Tensor] = []
    for part, (first, end) in zip(packed.parts, packed.vectors, strict=True):
        own = None if contexts is None else contexts.flatten(0, -2)[first:end].unsqueeze(0)
        own_deep = [vectors.flatten(0, -2)[first:end].unsqueeze(0) for vectors in deep]
        if torch.is_grad_enabled():
            features.append(checkpoint(run, part, own, own_deep, use_reentrant=False))
        else:
            features.append(run(part, own, own_deep))
    return torch.cat(features)


def encode_whole(
    tower: AnyText,
    packed: PackedPrompts | PaddedPrompts,
    contexts: Tensor | None = None,
    deep: Sequence[Tensor] = (),
) -> Tensor:
    """`encode` for prompts that were not split."""
    if isinstance(tower, PaddedText) or isinstance(packed, PaddedPrompts):
        if not (isinstance(tower, PaddedText) and isinstance(packed, PaddedPrompts)) or deep:
            raise InputError("These prompts were packed for another text tower; pack them with pack_for(tower, ...).")
        return tower.encode(packed, contexts)
    table = tower.token_embedding.weight[packed.vocabulary_rows]
    if contexts is not None:
        table = torch.cat([table.to(contexts.dtype), contexts.flatten(0, -2)])
    x = F.embedding(packed.tokens, table).to(tower.dtype)
    x = x + tower.positional_embedding[packed.positions].to(tower.dtype)
    last = tower.blocks[-1]
    for i, block in enumerate(tower.blocks[:-1]):
        x = _deepened(x, packed, deep, i)
        q, k, v = _rows(_project(block, block.ln_1(x), (0, 1, 2)), packed.rows, packed.mask)
        x = block.finish(x, _attend(q, k, v, packed.mask).index_select(0, packed.place))

    # Only the end tokens are read after the last layer, so only they need queries and everything after attention.
    x = _deepened(x, packed, deep, len(tower.blocks) - 1)
    normed = last.ln_1(x)
    k, v = _rows(_project(last, normed, (1, 2)), packed.rows, packed.mask)
    (q,) = _rows(_project(last, normed.index_select(0, packed.ends), (0,)), packed.end_rows, packed.end_mask)
    attended = _attend(q, k, v, packed.end_mask).index_select(0, packed.end_place)
    x = last.finish(x.index_select(0, packed.ends), attended)
    return tower.project(tower.ln_final(x).to(tower.dtype))


def _deepened(x: Tensor, packed: PackedPrompts, deep: Sequence[Tensor], i: int) -> Tensor:
    """Return the flat (tokens, width) states before block ``i``, with the slots' replaced by its deep vectors."""
    if not 0 < i <= len(deep):
        return x
    slot = packed.tokens - len(packed.vocabulary_rows)
    vectors = F.embedding(slot.clamp(min=0), deep[i - 1].flatten(0, -2)).to(x.dtype)
    return torch.where((slot >= 0).unsqueeze(1), vectors, x)


def _project(block: Block, x: Tensor, which: tuple[int, ...]) -> Tensor:
    """Queries, keys, values (0, 1, 2) of flat tokens: (tokens, len(which), heads, head_dim)."""
    return project(block.attn, x, which).unflatten(-1, (len(which), block.heads, -1))


def _rows(x: Tensor, rows: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """Copy flat (tokens, n, heads, head_dim) to rows: n tensors (R, length, heads, head_dim)."""
    # The gradient of `embedding` adds up a token's copies in a fixed order on every device.
    return F.embedding(rows, x.flatten(1)).view(len(mask), -1, *x.shape[1:]).unbind(2)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attend within rows: (R, length, heads, head_dim) -> flat (R * length, width)."""
    attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return attended.transpose(1, 2).flatten(2).flatten(0, 1)
