"""Base class of backbones."""

from __future__ import annotations

import torch
import torch.nn as nn


class Backbone(nn.Module):
    """A network from images (batch, 3, height, width) to features (batch, ``out_features``).

    A subclass sets ``self._out_features``.
    """

    @property
    def out_features(self) -> int | None:
        """Width of the features; None until it is set."""
        return self.__dict__.get("_out_features")


def check_size(images: torch.Tensor, side: int) -> None:
    """Raise a ValueError unless ``images`` (batch, 3, height, width) are ``side`` pixels high and wide."""
    height, width = images.shape[2:]
    if (height, width) != (side, side):
        raise ValueError(f"The network takes images of {side}x{side} pixels, but got {height}x{width}; see INPUT.SIZE")
