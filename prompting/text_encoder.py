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
from functools import partial
from itertools import accumulate, zip_longest

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from common.errors import InputError
from prompting.low_rank import LowRank, project, updated
from prompting.padded_text import AnyText, PaddedPrompts, PaddedText
from prompting.prompts import with_context
from prompting.text_memory import SMALL, saved_bytes
from prompting.text_tower import Block, take
from prompting.transfers import sent

# A row's tokens attend to the whole row (masked), so longer rows waste attention and shorter ones copy shared tokens
# more often. Between 16 and 48 tokens beyond the first prompt, the time per step differs by less than its variation.
ROW_TOKENS = 32
ABSENT = np.iinfo(np.int64).min  # where a prompt has ended
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
        return replace(self, **{f.name: sent(getattr(self, f.name), device) for f in fields(self)})


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


def pack(prompts: Sequence[list[int]], row_tokens: int = ROW_TOKENS) -> PackedPrompts:
    """Convert prompts (see prompting.prompts) for `encode`.

    A row is at most ``row_tokens`` longer than its first prompt.
    """
    # In this order, the prompt before shares the longest beginning with a prompt.
    order = sorted(range(len(prompts)), key=lambda number: prompts[number])
    token = np.array(list(zip_longest(*(prompts[number] for number in order), fillvalue=ABSENT))).T  # (N, depth)
    is_token, depth = token != ABSENT, np.arange(token.shape[1])
    length = is_token.sum(1)
    shared = np.zeros_like(length)
    shared[1:] = np.logical_and.accumulate((token[1:] == token[:-1]) & is_token[1:], axis=1).sum(1)
    row, is_first = _rows_of(length.tolist(), shared.tolist(), row_tokens)
    # A node is new in the tree once. In each row, the first prompt brings all its nodes, the others what they add.
    new = is_token & (depth >= shared[:, None])
    copied = is_token & (depth >= np.where(is_first, 0, shared)[:, None])
    node = _inherited(new, np.cumsum(new).reshape(new.shape) - 1)
    held = np.bincount(row, copied.sum(1)).astype(np.int64)  # tokens in each row
    width, start = held.max(), np.cumsum(held) - held
    column = np.cumsum(copied).reshape(new.shape) - 1 - start[row][:, None]
    place = _inherited(copied, row[:, None] * width + column)

    n_rows, last = len(held), length - 1
    rows = np.zeros(n_rows * width, dtype=np.int64)
    rows[place[copied]] = node[copied]
    mask = np.tile(np.eye(width, dtype=bool), (n_rows, 1))  # padding sees itself
    for distance in range(1, len(depth)):
        sees = is_token[:, distance:]
        mask[place[:, distance:][sees], (place[:, :-distance] % width)[sees]] = True

    ending = np.bincount(row)  # prompts that end in each row
    nth = np.arange(len(order)) - (np.cumsum(ending) - ending)[row]
    end_place, end_node = (np.empty(len(order), dtype=np.int64) for _ in range(2))
    end_rows, end_column = (np.zeros((n_rows, ending.max()), dtype=np.int64) for _ in range(2))
    everyone = np.arange(len(order))
    end_place[order], end_node[order] = row * ending.max() + nth, node[everyone, last]
    end_rows[row, nth], end_column[row, nth] = order, place[everyone, last] % width

    tokens, positions = token[new], np.broadcast_to(depth, new.shape)[new]
    vocabulary_rows = np.unique(tokens[tokens >= 0])
    known = np.searchsorted(vocabulary_rows, tokens.clip(min=0))
    mask = mask.reshape(n_rows, width, width)
    return PackedPrompts(
        vocabulary_rows=torch.from_numpy(vocabulary_rows),
        tokens=torch.from_numpy(np.where(tokens >= 0, known, len(vocabulary_rows) - 1 - tokens)),
        positions=torch.from_numpy(positions.copy()),
        rows=torch.from_numpy(rows),
        place=torch.from_numpy(place[new]),
        mask=torch.from_numpy(mask).unsqueeze(1),
        ends=torch.from_numpy(end_node),
        end_rows=torch.from_numpy(end_rows.reshape(-1)),
        end_place=torch.from_numpy(end_place),
        end_mask=torch.from_numpy(np.take_along_axis(mask, end_column[:, :, None], 1)).unsqueeze(1),
    )


def _rows_of(lengths: Sequence[int], shared: Sequence[int], row_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each prompt, and whether it is the row's first. A row is filled until a prompt does not fit."""
    rows: list[int] = []
    firsts: list[bool] = []
    room = -1
    for length, common in zip(lengths, shared, strict=True):
        firsts.append(not rows or length - common > room)
        if firsts[-1]:
            room, common = length + row_tokens, 0
        rows.append((rows[-1] if rows else -1) + firsts[-1])
        room -= length - common
    return np.array(rows), np.array(firsts)


def _inherited(own: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return ascending ``numbers`` (N, depth) where ``own``, and the prompt's before elsewhere."""
    return np.maximum.accumulate(np.where(own, numbers, -1), axis=0)


def pack_for(tower: AnyText, prompts: Sequence[list[int]]) -> Packed:
    """Convert prompts for `encode` with this tower: to a tree, or to padded rows.

    If ``tower.memory`` is set and says that the activations of all prompts do not fit, they are split into parts.
    """

    def lay(part: Sequence[list[int]]) -> PackedPrompts | PaddedPrompts:
        return tower.pack(part) if isinstance(tower, PaddedText) else pack(part)

    lengths = [tower.vocabulary.length if isinstance(tower, PaddedText) else len(prompt) for prompt in prompts]
    if tower.memory is None or sum(lengths) <= SMALL:
        return lay(prompts)
    sample = prompts[: bisect_left(list(accumulate(lengths)), SAMPLE_TOKENS) + 1]
    most = tower.memory.tokens(tower.device, lambda: _bytes_per_token(tower, lay, sample))
    if sum(lengths) <= most:
        return lay(prompts)
    costs = _costs(tower, prompts)
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
    """Return the tokens that each prompt adds to the previous one."""
    if isinstance(tower, PaddedText):
        return [tower.vocabulary.length] * len(prompts)
    costs = []
    last: list[int] = []
    for prompt in prompts:
        pairs = zip(prompt, last, strict=False)
        shared = next((i for i, (token, other) in enumerate(pairs) if token != other), min(len(prompt), len(last)))
        costs.append(len(prompt) - shared)
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
    compiled: Callable[..., Tensor] | None = None,
) -> Tensor:
    """Return the text features of packed prompts.

    Prompts that were split are encoded part by part without keeping activations, and again in each backward pass. So
    the gradient is the same, and only one part's activations exist at a time (gradient caching, arXiv 2101.06983).

    Args:
        tower: the text tower.
        packed: N prompts from `pack_for`, on the tower's device.
        contexts: (C, n_ctx, ctx_dim), the vectors that the prompts' slots refer to; None if there are no slots.
        deep: tensors like ``contexts``, fewer than the tower has blocks. Before block i, counted from 0, the vectors in
            ``deep[i - 1]`` replace the states at the slots (MaPLe, arXiv 2210.03117, section 3.1). A slot's replacement
            depends only on the slot, so prompts that share their first tokens still share the states there.
        within: returns the context in which the tower runs, in the forward and in the backward pass.
        compiled: a compiled version of `encode_whole`, used for prompts that were not split.

    Returns:
        (N, feature_dim) in the tower's dtype, not normalised. Gradients flow to ``contexts`` and ``deep``.
    """

    if not isinstance(packed, SplitPrompts):
        with within():
            return (compiled or encode_whole)(tower, packed, contexts, deep)

    def run(
        part: PackedPrompts | PaddedPrompts, contexts: Tensor | None, deep: Sequence[Tensor], on_device: Tensor
    ) -> Tensor:
        with within():
            return encode_whole(tower, part, contexts, deep)

    # `checkpoint` repeats random draws, such as dropout in ``within``, on the devices of the tensors that it is given.
    on_device = tower.token_embedding.weight

    features: list[Tensor] = []
    for part, (first, end) in zip(packed.parts, packed.vectors, strict=True):
        own = None if contexts is None else contexts.flatten(0, -2)[first:end].unsqueeze(0)
        own_deep = [vectors.flatten(0, -2)[first:end].unsqueeze(0) for vectors in deep]
        if torch.is_grad_enabled():
            features.append(checkpoint(run, part, own, own_deep, on_device, use_reentrant=False))
        else:
            features.append(run(part, own, own_deep, on_device))
    return torch.cat(features)


def encode_with(updates: LowRank, tower: AnyText, packed: Packed) -> Tensor:
    """`encode` for prompts without slots, in the attention of a tower with low-rank updates (CLIP-LoRA)."""
    return encode(tower, packed, within=partial(updated, blocks_of(tower, "CLIP-LoRA"), updates))


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
    x = take(table, packed.tokens).to(tower.dtype)
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
    vectors = take(deep[i - 1].flatten(0, -2), slot.clamp(min=0)).to(x.dtype)
    return torch.where((slot >= 0).unsqueeze(1), vectors, x)


def _project(block: Block, x: Tensor, which: tuple[int, ...]) -> Tensor:
    """Queries, keys, values (0, 1, 2) of flat tokens: (tokens, len(which), heads, head_dim)."""
    return project(block.attn, x, which).unflatten(-1, (len(which), block.heads, -1))


def _rows(x: Tensor, rows: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """Copy flat (tokens, n, heads, head_dim) to rows: n tensors (R, length, heads, head_dim)."""
    return take(x.flatten(1), rows).view(len(mask), -1, *x.shape[1:]).unbind(2)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attend within rows: (R, length, heads, head_dim) -> flat (R * length, width)."""
    attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return attended.transpose(1, 2).flatten(2).flatten(0, 1)
