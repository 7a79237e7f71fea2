"""A tower as its package built it, in the parts that `prompting.towers.Tower` is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from prompting.padded_text import AnyText
from prompting.pixels import Preprocessing


@dataclass
class Loaded:
    """``notes`` are lines that the user should read; ``logit_scale`` is the factor of cosine similarities."""

    visual: nn.Module
    text: AnyText
    logit_scale: float
    preprocessing: Preprocessing
    activation_source: str
    notes: list[str]


def scale_of(model: Any) -> float:
    """Return the factor of cosine similarities of a model that stores its logarithm."""
    return model.logit_scale.detach().float().exp().item()
