"""Types of the parts of OpenAI's and OpenCLIP's models that are used here; both packages are untyped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast

from torch import Tensor, nn

from prompting.low_rank import Attention

M = TypeVar("M", bound=nn.Module)


def module_list(modules: Iterable[M]) -> Sequence[M]:
    """Return an nn.ModuleList, typed by its elements: PyTorch does not declare their type."""
    return cast("Sequence[M]", nn.ModuleList(modules))


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


def text_of(model: CLIP) -> TextModel:
    """Return the module with the text transformer of one of OpenAI's models, or of OpenCLIP's."""
    text: Any = getattr(model, "text", model)
    return text


def why_padded(text: Any) -> str | None:
    """Return why a text model's prompts cannot be one tree; None for a causal transformer read at its end token."""
    blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
    if blocks is None:
        return f"its text model is {type(text).__name__}"
    if not all(isinstance(getattr(block, "attn", None), nn.MultiheadAttention) for block in blocks):
        return "its attention is not the usual one"
    if getattr(text, "cls_emb", None) is not None:
        return "a class token follows the prompt"
    if getattr(text, "attn_mask", "absent") is None:
        return "its attention is not causal"
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
    return None if pool in ("argmax", "eos") else f"its feature is read at the {pool} position"
