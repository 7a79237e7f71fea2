"""CLIP's own text encoder, which pads every prompt to the tower's length: slow, and the reference for the fast one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from prompting.text_tower import TextTower


def encode_plain(
    tower: TextTower,
    prompts: Sequence[Sequence[int]],
    contexts: Tensor | None = None,
    deep: Sequence[Tensor] = (),
) -> Tensor:
    """Return the text features of prompts (see prompting.prompts): (N, feature_dim), not normalised.

    ``contexts`` is (C, n_ctx, width); ``deep`` holds one such tensor for each of the blocks after the first.
    """
    length = tower.positional_embedding.shape[0]
    device = tower.positional_embedding.device
    tokens = torch.zeros(len(prompts), length, dtype=torch.long)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    tokens = tokens.to(device)
    x = F.embedding(tokens.clamp(min=0), tower.token_embedding.weight)
    if contexts is not None:
        vectors = F.embedding((-1 - tokens).clamp(min=0), contexts.flatten(0, -2))
        x = torch.where((tokens < 0).unsqueeze(-1), vectors, x)
    x = (x.to(tower.dtype) + tower.positional_embedding.to(tower.dtype)).transpose(0, 1)
    mask = torch.full((length, length), float("-inf"), device=device, dtype=tower.dtype).triu(1)
    for i, block in enumerate(tower.blocks):
        if 0 < i <= len(deep):
            vectors = F.embedding((-1 - tokens).clamp(min=0), deep[i - 1].flatten(0, -2)).to(x.dtype)
            x = torch.where((tokens < 0).unsqueeze(-1), vectors, x.transpose(0, 1)).transpose(0, 1)
        normed = block.ln_1(x)
        if block.attn.batch_first:
            normed = normed.transpose(0, 1)
        attended = block.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        if block.attn.batch_first:
            attended = attended.transpose(0, 1)
        x = x + block.ls_1(attended)
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    x = tower.ln_final(x.transpose(0, 1)).to(tower.dtype)
    end = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    return tower.project(x[torch.arange(len(prompts), device=device), end])
