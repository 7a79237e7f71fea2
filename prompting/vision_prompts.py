"""Learnable prompt tokens in a frozen vision transformer.

    [class][patch_1] .. [patch_P] + positions, [p_1] .. [p_n]  -> ln_pre -> block 0 -> block 1 -> ... -> class token

n prompt tokens stand behind the patches. They have no position and see, and are seen by, every token. Deep prompts
replace what a block made of them before the next one (MaPLe, arXiv 2210.03117, section 3.2; PromptSRC, 2307.06948).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from prompting.frozen import linear
from prompting.losses import unit
from prompting.towers import TextBlock, Tower


class PromptedVision:
    """A tower's image side, run with prompts. It holds the tower's own modules and no parameter besides.

    width: of a token (the prompts' last axis); layers: blocks, so as many sets of prompts at the most.

    Raises:
        InputError: the image tower is not a vision transformer of OpenAI's or OpenCLIP's that reads its class token.
    """

    def __init__(self, tower: Tower):
        visual = tower.visual
        if not _has_room(visual):
            raise InputError(
                f"The image tower of '{tower.name}' takes no prompt tokens; OpenAI's vision transformers do (ViT-B/32, "
                "ViT-B/16, ViT-L/14), and OpenCLIP's that are read at the class token."
            )
        self.tower = tower
        # The block's attention is done here, as in the text encoder: what is frozen costs no memory for its weights'
        # gradients, and the last block works for the class token alone.
        self.blocks = [TextBlock(block) for block in visual.transformer.resblocks]

    @property
    def layers(self) -> int:
        return len(self.blocks)

    @property
    def width(self) -> int:
        return self.tower.visual.class_embedding.shape[0]

    def __call__(self, images: Tensor, prompts: Sequence[Tensor] = ()) -> Tensor:
        """Features of images, with gradients for the prompts.

        Args:
            images: (B, 3, size, size), preprocessed.
            prompts: (depth, n, width), depth <= layers: the first stand behind the patches of the input, the i-th of
                the others replace them before block i. Empty: what `Tower.encode_image` gives.

        Returns:
            (B, feature_dim) float32 of unit norm.
        """
        visual = self.tower.visual
        x = visual.conv1(images.to(self.tower.dtype, memory_format=torch.channels_last)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([first, x], dim=1) + visual.positional_embedding.to(x.dtype)
        if len(prompts):
            x = torch.cat([x, _of_every_image(prompts[0], x)], dim=1)
        x = visual.ln_pre(x)
        for i, block in enumerate(self.blocks):
            if 0 < i < len(prompts):
                x = torch.cat([x[:, : -prompts[i].shape[0]], _of_every_image(prompts[i], x)], dim=1)
            x = _through(block, x, asking=1 if i + 1 == self.layers else x.shape[1])
        return unit(visual.ln_post(x[:, 0]) @ visual.proj)


def _has_room(visual: nn.Module) -> bool:
    """Whether a tower is one that `PromptedVision` knows how to run."""
    kind = type(visual)
    if kind.__name__ != "VisionTransformer" or not kind.__module__.startswith(("clip.", "open_clip.")):
        return False
    read_at_class_token = getattr(visual, "pool_type", "tok") == "tok" and getattr(visual, "attn_pool", None) is None
    plain = all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in visual.transformer.resblocks)
    return read_at_class_token and plain and visual.proj is not None


def _of_every_image(prompts: Tensor, x: Tensor) -> Tensor:
    """(n, width) -> (B, n, width), in the dtype of ``x``."""
    return prompts.to(x.dtype).expand(len(x), -1, -1)


def _through(block: TextBlock, x: Tensor, asking: int) -> Tensor:
    """(B, tokens, width) -> (B, asking, width): a block's output for its first ``asking`` tokens."""
    attention, (images, _, width) = block.attn, x.shape
    normed = block.ln_1(x)

    def project(tokens: Tensor, part: slice) -> Tensor:
        weight, bias = attention.in_proj_weight[part], attention.in_proj_bias[part]
        projected = linear(tokens.flatten(0, 1), weight, bias)
        return projected.view(images, tokens.shape[1], -1, block.heads, width // block.heads).permute(2, 0, 3, 1, 4)

    (q,) = project(normed[:, :asking], slice(width))
    k, v = project(normed, slice(width, None))
    attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1)
    return block.finish(x[:, :asking].flatten(0, 1), attended).unflatten(0, (images, asking))
