"""ProtoNet on CLIP's image features: prototypical networks (arXiv 1703.05175) with CLIP's frozen image tower.

    prototype      p_c = mean over the shots i of class c of x_i        (eq. 1)
    probability    p(c | x) = softmax_c( -|x - p_c|^2 )                 (eq. 2, over the classes of x's own task)

x is the tower's feature, not normalised. With DISTANCE cosine, shots are scaled to unit norm and the logits are
exp(logit_scale) x cosine(x, p_c). Nothing is trained, so no parameters are counted.

It is not known how the ProtoNet of the published SoftCPT table was made. The released code does not contain it, the
table counts no parameters for it, and the README cites only the paper above. The network, its training, the distance
and the augmentation are not published. The printed figures (10.1 % at 1 shot on General-10, where a linear probe has
37.3 %) are lower than one would expect from class means of CLIP features, so this file may reach more: it is
prototypical networks on CLIP's features, not a reproduction of those figures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from classifier.heads import FEATURES, RAW, LinearHead
from common.knobs import Knob
from prompting.losses import unit
from trainers.engine.fitted_trainer import FittedTrainer
from trainers.engine.image_trainer import split_features

DISTANCES = {"euclidean": "squared distance of features", "cosine": "cosine similarity"}


class Prototypes(nn.Module):
    """(batch, d) image features -> (batch, classes) logits."""

    prototypes: Tensor

    def __init__(self, n_classes: int, feature_dim: int, distance: str, scale: float):
        super().__init__()
        self.distance, self.scale = distance, scale
        self.register_buffer("prototypes", torch.zeros(n_classes, feature_dim))

    def fit(self, x: Tensor, y: Tensor) -> None:
        """Set the prototypes from (n, d) features and (n,) classes of the shots."""
        total = torch.zeros_like(self.prototypes).index_add_(0, y, x.to(self.prototypes.dtype))
        self.prototypes = total / torch.bincount(y, minlength=len(total)).clamp(min=1).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        weight, scale, bias = self.linear()
        return F.linear(scale * x, weight, bias)

    def linear(self) -> tuple[Tensor, float, Tensor | None]:
        """Return weight, scale and bias: the logits are scale x (weight x) + bias."""
        if self.distance == "cosine":
            return unit(self.prototypes), self.scale, None
        # |x|^2 is the same for all classes; leaving it out loses less precision.
        return self.prototypes, 2.0, -self.prototypes.square().sum(1)


@TRAINER_REGISTRY.register()
class ProtoNet(FittedTrainer):
    """Nearest class mean of CLIP's image features."""

    model: Prototypes
    section = "PROTONET"
    KNOBS = (Knob("DISTANCE", "euclidean", "how an image is compared with a class mean", among=DISTANCES),)

    @classmethod
    def raw_features(cls, cfg: CfgNode) -> bool:
        return cfg.TRAINER.PROTONET.DISTANCE == "euclidean"

    def build_learner(self) -> Prototypes:
        scale = float(self.tower.logit_scale)
        return Prototypes(self.layout.n_classes, self.tower.text.feature_dim, self.knobs.DISTANCE, scale)

    def fit(self) -> None:
        self.model.fit(*split_features(self, "train"))

    def head(self) -> LinearHead:
        reads = RAW if self.raw_features(self.cfg) else FEATURES
        return LinearHead(self.layout, *self.model.linear(), reads)
