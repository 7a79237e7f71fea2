"""A backbone, an optional head and a linear classifier."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from yacs.config import CfgNode

from dassl.modeling import build_backbone, build_head


class SimpleNet(nn.Module):
    """The classification network that ``SimpleTrainer`` builds by default.

    Args:
        cfg: the whole configuration.
        model_cfg: its ``MODEL`` section, or another of the same shape.
        num_classes: with 0 there is no classifier, and the output is the features.
        kwargs: passed on to backbone and head.
    """

    def __init__(self, cfg: CfgNode, model_cfg: CfgNode, num_classes: int, **kwargs: Any) -> None:
        super().__init__()
        self.backbone = build_backbone(
            model_cfg.BACKBONE.NAME, verbose=cfg.VERBOSE, pretrained=model_cfg.BACKBONE.PRETRAINED, **kwargs
        )
        width = self.backbone.out_features
        self.head = None
        head = model_cfg.HEAD
        if head.NAME and head.HIDDEN_LAYERS:
            self.head = build_head(
                head.NAME,
                verbose=cfg.VERBOSE,
                in_features=width,
                hidden_layers=head.HIDDEN_LAYERS,
                activation=head.ACTIVATION,
                bn=head.BN,
                dropout=head.DROPOUT,
                **kwargs,
            )
            width = self.head.out_features
        self.classifier = nn.Linear(width, num_classes) if num_classes > 0 else None
        self._fdim = width

    @property
    def fdim(self) -> int:
        """Width of the features before the classifier."""
        return self._fdim

    def forward(
        self, x: torch.Tensor, return_feature: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return logits (batch, num_classes) for images (batch, 3, height, width); optionally also the features."""
        features = self.backbone(x)
        if self.head is not None:
            features = self.head(features)
        if self.classifier is None:
            return features
        logits = self.classifier(features)
        return (logits, features) if return_feature else logits
