"""Types of the parts of OpenAI's and OpenCLIP's models that are used here; both packages are untyped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from common.errors import InputError
from prompting.low_rank import Attention
from prompting.pixels import Preprocessing
from prompting.prompts import Vocabulary


class CLIP(Protocol):
    """A whole model."""

    visual: nn.Module
    logit_scale: nn.Parameter


class MLP(Protocol):
    """Two linear layers with an activation between them."""

    c_fc: nn.Linear
    gelu: nn.Module
    c_proj: nn.Linear

    def __call__(self, x: Tensor, /) -> Tensor: ...


class ResidualBlock(Protocol):
    """One layer of a transformer. OpenCLIP's may also have layer scales, ``ls_1`` and ``ls_2``."""

    ln_1: nn.Module
    attn: Attention
    ln_2: nn.Module
    mlp: MLP


class Transformer(Protocol):
    resblocks: Sequence[ResidualBlock]


class TextModel(Protocol):
    """A text transformer: OpenAI's model itself, an OpenCLIP model, or the latter's ``text``."""

    token_embedding: nn.Embedding
    positional_embedding: nn.Parameter  # (positions, width)
    transformer: Transformer
    ln_final: nn.Module
    text_projection: nn.Parameter | nn.Linear | None  # (width, feature_dim)


class VisionTransformer(Protocol):
    """An image tower that reads its class token."""

    conv1: nn.Conv2d
    class_embedding: nn.Parameter  # (width,)
    positional_embedding: nn.Parameter  # (1 + patches, width)
    ln_pre: nn.Module
    transformer: Transformer
    ln_post: nn.Module
    proj: nn.Parameter  # (width, feature_dim)


@dataclass
class Loaded:
    """A model as its package built it, what is known of it, and lines that the user should read."""

    model: Any  # a CLIP, of a package without types
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    activation_source: str
    notes: list[str]


def text_of(model: CLIP, name: str) -> TextModel:
    """Return the module with the text transformer; raises InputError unless it is causal and read at its end token."""
    text: Any = getattr(model, "text", model)
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
    causal = getattr(text, "attn_mask", "absent") is not None
    plain = all(
        isinstance(getattr(b, "attn", None), nn.MultiheadAttention)
        for b in getattr(getattr(text, "transformer", None), "resblocks", [None])
    )
    if pool not in ("argmax", "eos") or not causal or not plain or getattr(text, "cls_emb", None) is not None:
        raise InputError(
            f"The text tower of '{name}' is not a causal transformer read at its end token, so prompts cannot be "
            "learned for it; choose another model."
        )
    return text
