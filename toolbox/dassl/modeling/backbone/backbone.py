"""What a backbone is."""

from __future__ import annotations

import torch.nn as nn


class Backbone(nn.Module):
    """A network from images (batch, 3, height, width) to features (batch, ``out_features``).

    A subclass sets ``self._out_features``.
    """

    @property
    def out_features(self) -> int | None:
        """Width of the features; None before it is set."""
        return self.__dict__.get("_out_features")
