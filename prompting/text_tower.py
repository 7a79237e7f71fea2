"""A causal text tower in parts, for the fast encoder in `prompting.text_encoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prompting.frozen import QuickGELU, linear
from prompting.low_rank import Attention
from prompting.models import ResidualBlock, TextModel
from prompting.prompts import Vocabulary
from prompting.text_memory import TextMemory


def name_of(activation: nn.Module) -> str:
    """Return the name of an activation's class, with its approximation if there is one."""
    approximate = getattr(activation, "approximate", "none")
    return type(activation).__name__ + (f" ({approximate})" if approximate != "none" else "")


def take(table: Tensor, rows: Tensor) -> Tensor:
    """(n, width), (...) int64 -> (..., width): some rows, each as often as it is named."""
    # On a CPU the gradient of `embedding` is the faster one, and adds up a row's copies in a fixed order. On a GPU that
    # order may vary; PyTorch has a deterministic gradient for `index_select`.
    if torch.are_deterministic_algorithms_enabled():
        return table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    return F.embedding(rows, table)


class Block(nn.Module):
    """A transformer's residual attention block, in parts: the caller computes the attention."""

    attn: Attention

    def __init__(self, block: ResidualBlock):
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = block.ln_1, block.attn, block.ln_2, block.mlp
        self.ls_1, self.ls_2 = (getattr(block, name, nn.Identity()) for name in ("ls_1", "ls_2"))
        self.heads = block.attn.num_heads
        quick = type(self.mlp.gelu).__name__ == "QuickGELU"  # the class has this name in both packages
        self.activation = QuickGELU.apply if quick else self.mlp.gelu

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Compute the block after its attention; ``x``, ``attended`` and the result are (tokens, width)."""
        out, up, down = self.attn.out_proj, self.mlp.c_fc, self.mlp.c_proj
        x = x + self.ls_1(linear(attended, out.weight, out.bias))
        hidden = self.activation(linear(self.ln_2(x), up.weight, up.bias))
        return x + self.ls_2(linear(hidden, down.weight, down.bias))


class TextTower(nn.Module):
    """A causal text transformer whose feature is read at the end token.

    width: size of the token vectors (ctx_dim); feature_dim: size of the projected feature.
    """

    blocks: Sequence[Block]
    path = "prompts are one tree, whose shared beginnings are encoded once"  # for the log
    memory: TextMemory | None = None  # what a step may take; None: as much as it needs

    def __init__(self, model: TextModel, vocabulary: Vocabulary):
        super().__init__()
        self.token_embedding = model.token_embedding
        self.positional_embedding = model.positional_embedding
        blocks = nn.ModuleList(Block(block) for block in model.transformer.resblocks)
        self.blocks = cast("Sequence[Block]", blocks)  # nn.ModuleList does not declare the type of its elements
        self.ln_final = model.ln_final
        self.text_projection = model.text_projection
        self.vocabulary = vocabulary

    @property
    def dtype(self) -> torch.dtype:
        return self.blocks[0].mlp.c_fc.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device

    @property
    def activation(self) -> str:
        """The activation between the linear layers of a block: "QuickGELU", "GELU" or another class's name."""
        return name_of(self.blocks[0].mlp.gelu)

    def word_vectors(self, tokens: Sequence[int]) -> Tensor:
        """Return the embeddings of tokens, (tokens, width)."""
        return self.token_embedding.weight[torch.tensor(tokens, dtype=torch.long, device=self.device)]

    @property
    def width(self) -> int:
        return self.token_embedding.weight.shape[1]

    @property
    def feature_dim(self) -> int:
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection.out_features
        return self.width if self.text_projection is None else self.text_projection.shape[1]

    def project(self, x: Tensor) -> Tensor:
        """(N, width) states at the end tokens -> (N, feature_dim)."""
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x)
        return x if self.text_projection is None else x @ self.text_projection


class UnloadedText(nn.Module):
    """The place of a text tower that only classifies images: it knows sizes and tokenizer, and has no weights."""

    path = "not kept"
    memory: TextMemory | None = None
    place: Tensor

    def __init__(self, text: Any):
        super().__init__()
        self.width, self.feature_dim, self.dtype = text.width, text.feature_dim, text.dtype
        self.activation, self.vocabulary = text.activation, text.vocabulary
        self.register_buffer("place", torch.empty(0, device=text.device), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.place.device
