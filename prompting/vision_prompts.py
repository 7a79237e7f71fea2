"""Learnable prompt tokens in a frozen vision transformer.

    [class][patch_1] .. [patch_P] + positions, [p_1] .. [p_n]  -> ln_pre -> block 0 -> block 1 -> ... -> class token

n prompt tokens follow the patches. They have no position; they attend to all tokens and all tokens attend to them. With
deep prompts, new ones replace their states before each next block (MaPLe, arXiv 2210.03117, section 3.2; PromptSRC,
2307.06948).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from common.errors import InputError
from prompting.losses import unit
from prompting.models import VisionTransformer
from prompting.text_tower import Block
from prompting.towers import Tower
from prompting.vision_transformer import attend, embedded, is_plain


class PromptedVision:
    """A tower's image side, run with prompts. It uses the tower's own modules and has no parameters.

    width: size of a token, the last axis of the prompts; layers: number of blocks, so the largest depth of prompts.

    Raises:
        InputError: the image tower is not a vision transformer of OpenAI's or OpenCLIP's that reads its class token.
    """

    def __init__(self, tower: Tower):
        if not is_plain(tower.visual):
            raise InputError(
                f"The image tower of '{tower.name}' takes no prompt tokens; OpenAI's vision transformers do (ViT-B/32, "
                "ViT-B/16, ViT-L/14), and OpenCLIP's that are read at the class token."
            )
        self.tower = tower
        self.visual: VisionTransformer = tower.visual
        # Attention is computed here, as in the text encoder: frozen weights take no memory for gradients, and the last
        # block only computes the class token.
        self.blocks = [Block(block) for block in self.visual.transformer.resblocks]

    @property
    def layers(self) -> int:
        return len(self.blocks)

    @property
    def width(self) -> int:
        return self.visual.class_embedding.shape[0]

    def __call__(self, images: Tensor, prompts: Tensor | Sequence[Tensor] = ()) -> Tensor:
        """Return the features of images, with gradients for the prompts.

        Args:
            images: (B, 3, size, size), preprocessed.
            prompts: (depth, n, width), depth <= layers. The first set follows the patches of the input; set i replaces
                the prompt tokens before block i. Without any, the result is that of `Tower.encode_image`.

        Returns:
            (B, feature_dim) float32 of unit norm.
        """
        visual = self.visual
        x = embedded(visual, images.to(self.tower.dtype, memory_format=torch.channels_last))
        if len(prompts):
            x = torch.cat([x, _repeated(prompts[0], x)], dim=1)
        x = visual.ln_pre(x)
        for i, block in enumerate(self.blocks):
            if 0 < i < len(prompts):
                x = torch.cat([x[:, : -prompts[i].shape[0]], _repeated(prompts[i], x)], dim=1)
            x = _run(block, x, queries=1 if i + 1 == self.layers else x.shape[1])
        return unit(visual.ln_post(x[:, 0]) @ visual.proj)


def _repeated(prompts: Tensor, x: Tensor) -> Tensor:
    """(n, width) -> (B, n, width): the prompts for every image of ``x``, in its dtype."""
    return prompts.to(x.dtype).expand(x.shape[0], -1, -1)


def _run(block: Block, x: Tensor, queries: int) -> Tensor:
    """(B, tokens, width) -> (B, queries, width): the block's output for its first ``queries`` tokens."""

    attended = attend(block.attn, block.heads, block.ln_1(x), queries)
    return block.finish(x[:, :queries].flatten(0, 1), attended).view(x.shape[0], queries, -1)
