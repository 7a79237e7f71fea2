"""A convolution whose kernel depends on the image."""

from __future__ import annotations

import torch
import torch.nn as nn

from .attention import Attention

__all__ = ["Conv2dDynamic"]


class Conv2dDynamic(nn.Module):
    """A convolution plus four smaller ones, weighted for each image (Sun et al., IJCAI 2022).

    The four are grouped, 1 x 1, vertical and horizontal; an ``Attention`` computes their weights.

    Args:
        kernel_size: odd.
        padding: must be ``kernel_size // 2``, otherwise the five outputs differ in size.
        squeeze: width of the attention's bottleneck.
        attention_in_channels: channels of the attention's input, by default ``in_channels``.

    Raises:
        ValueError: the kernel size or padding is wrong.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int,
        bias: bool = True,
        squeeze: int | None = None,
        attention_in_channels: int | None = None,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, but is {kernel_size}")
        if padding != kernel_size // 2:
            raise ValueError(f"padding must be kernel_size // 2 = {kernel_size // 2}, but is {padding}")

        def conv(height: int, width: int, groups: int = 1) -> nn.Conv2d:
            margins = (height // 2, width // 2)
            return nn.Conv2d(in_channels, out_channels, (height, width), stride, margins, groups=groups, bias=bias)

        self.conv = conv(kernel_size, kernel_size)
        # Checkpoints depend on the names, the attention's weights on the order.
        self.kernel_templates = nn.ModuleDict(
            {
                "conv_nn": conv(kernel_size, kernel_size, groups=min(in_channels, out_channels)),
                "conv_11": conv(1, 1),
                "conv_n1": conv(kernel_size, 1),
                "conv_1n": conv(1, kernel_size),
            }
        )
        self.attention = Attention(attention_in_channels or in_channels, 4, squeeze, bias=bias)

    def forward(self, x: torch.Tensor, attention_x: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, in_channels, H, W) -> (batch, out_channels, H', W'); weights from ``attention_x`` or ``x``."""
        weights = self.attention(x if attention_x is None else attention_x)
        out = self.conv(x)
        for weight, template in zip(weights.unbind(1), self.kernel_templates.values(), strict=True):
            out = out + weight[:, None, None, None] * template(x)
        return out
