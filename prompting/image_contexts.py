"""CoCoOp's contexts, which depend on the image to classify, and the cosines that follow; see trainers/cocoop.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from prompting.losses import unit
from prompting.padded_text import AnyText
from prompting.prompts import with_context
from prompting.text_encoder import Packed, pack_for

TEST_PROMPTS = 2048  # prompts encoded at a time without gradients; always at least those of one image
REDUCTION = 16  # width of the image feature / width of the meta-net's hidden layer


class ImageContext(nn.Module):
    """One task's context vectors and meta-net; ``start`` (n_ctx, ctx_dim) holds the vectors' initial values."""

    def __init__(self, start: Tensor, feature_dim: int):
        super().__init__()
        self.ctx = nn.Parameter(start.clone())
        self.linear1 = nn.Linear(feature_dim, feature_dim // REDUCTION)
        self.linear2 = nn.Linear(feature_dim // REDUCTION, start.shape[1])

    def forward(self, image_features: Tensor) -> Tensor:
        """(batch, feature_dim) -> (batch, n_ctx, ctx_dim)."""
        shift = self.linear2(self.linear1(image_features).relu())
        return self.ctx + shift.unsqueeze(1)


def pack_for_images(text: AnyText, prompts: Sequence[list[int]], images: int, n_ctx: int) -> Packed:
    """Pack the prompts of ``images`` images with the same classes: the first image's, then the second's, ..."""
    return pack_for(text, [with_context(prompt, i, n_ctx) for i in range(images) for prompt in prompts])


def cosines(
    image_features: Tensor, context: ImageContext, n_classes: int, class_features: Callable[[Tensor], Tensor]
) -> Tensor:
    """(images, d) features of unit norm -> (images, classes) cosines, each image with its own class features.

    ``class_features`` encodes the prompts of some images' contexts, (images, n_ctx, ctx_dim) -> (images x classes, d).
    """
    chunk = len(image_features) if torch.is_grad_enabled() else max(1, TEST_PROMPTS // n_classes)
    parts = []
    for x in image_features.split(chunk):
        w = unit(class_features(context(x)))
        parts.append(torch.einsum("id,icd->ic", x, w.unflatten(0, (-1, n_classes))))
    return torch.cat(parts)
