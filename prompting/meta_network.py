"""The meta network: names in, prompt contexts out (paper, section on the meta network).

Names become features by the text encoder, behind a few learnable vectors; a sub-network turns features, brought to a
scale, into contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from prompting.losses import unit
from prompting.prompts import lay_out
from prompting.text_encoder import PackedPrompts, encode, pack
from prompting.towers import TextTower

SUB_NETWORKS = {
    "linear": "one linear map of the features, side by side where there are two",
    "linmean": "one linear map of the mean of class and task feature",
    "lincls": "one linear map of the class feature alone",
    "mlp": "two linear maps with a ReLU between, of the features side by side",
}
SCALES = {
    "raw": "features as the text tower gives them (published)",
    "unit": "features of unit norm",
    "standard": "direction of the mean feature, plus each feature's deviation from the mean, both of size 1",
}
LEAST_VARIANCE = 1e-6  # of features of unit norm: below it names are the same
BOTTLENECK, LEAST = 16, 32  # the hidden layer of "mlp" has a text feature's width over 16, as CoCoOp's meta-net, or 32


class SubNetwork(nn.Module):
    """One linear map from a text feature to the ``n_ctx`` context vectors of a prompt.

    The released code draws the matrix with standard deviation 0.02 and has no bias; ``bias=True`` is SoftCPT*, whose
    published count of parameters, 1024 * 8192 + 8192, includes one.
    """

    def __init__(self, feature_dim: int, n_ctx: int, ctx_dim: int, bias: bool = False, std: float = 0.02):
        super().__init__()
        self.n_ctx, self.ctx_dim = n_ctx, ctx_dim
        self.weight = nn.Parameter(torch.empty(feature_dim, n_ctx * ctx_dim).normal_(std=std))
        self.bias = nn.Parameter(torch.zeros(n_ctx * ctx_dim)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(n, feature_dim) -> (n, n_ctx, ctx_dim), in float32 whatever the features' dtype."""
        flat = features.to(self.weight.dtype) @ self.weight
        if self.bias is not None:
            flat = flat + self.bias
        return flat.unflatten(-1, (self.n_ctx, self.ctx_dim))


class MLPSubNetwork(SubNetwork):
    """Two linear maps with biases and a ReLU between them; neither published nor released, for comparison."""

    def __init__(self, feature_dim: int, n_ctx: int, ctx_dim: int, hidden: int, std: float = 0.02):
        super().__init__(hidden, n_ctx, ctx_dim, bias=True, std=std)
        self.hidden_weight = nn.Parameter(torch.empty(feature_dim, hidden).normal_(std=std))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, features: Tensor) -> Tensor:
        """(n, feature_dim) -> (n, n_ctx, ctx_dim), in float32 whatever the features' dtype."""
        return super().forward(torch.relu(features.to(self.weight.dtype) @ self.hidden_weight + self.hidden_bias))


def build_sub_network(
    kind: str, feature_dim: int, n_ctx: int, ctx_dim: int, two_features: bool = False, bias: bool = False
) -> SubNetwork:
    """A sub-network (one of SUB_NETWORKS) for text features of ``feature_dim``; ``two_features``: class and task."""
    width = 2 * feature_dim if two_features and kind in ("linear", "mlp") else feature_dim
    if kind == "mlp":
        return MLPSubNetwork(width, n_ctx, ctx_dim, max(LEAST, feature_dim // BOTTLENECK))
    return SubNetwork(width, n_ctx, ctx_dim, bias)


def join(kind: str, class_features: Tensor, task_features: Tensor) -> Tensor:
    """(n, d) class features and (n, d) features of their tasks -> what a sub-network reads: (n, 2 d) or (n, d)."""
    if kind == "linmean":
        return (class_features + task_features) / 2
    return torch.cat([class_features, task_features], dim=-1)


class FeatureScale(nn.Module):
    """Brings text features to a scale that does not depend on the tower.

    A linear map W of features x writes S = W x, so a descent step of size e moves the context of task t by
    -e sum_u <x_t, x_u> g_u, with g_u the gradient of u's context: what CoOp with a context per task would do, times
    the Gram matrix of the features. Raw features multiply that step by their squared norm, and a context's size at the
    start by their norm; both are the tower's and mean nothing. Features of unit norm repair this, but how much tasks
    share is still the tower's: features of most text towers lie in a narrow cone, where any two names are alike.

    "standard", of features of unit norm u_t, with their mean c and the root mean square r of |u_t - c| over all names:

        x_t = c / |c| + (u_t - c) / r

    so that S_t = shared + own: a context that all tasks learn at the rate of CoOp's shared one, and deviations that
    begin and move like CoOp's contexts per task, those of related names together. A single name has no deviation:
    x_t = c / |c|.

    c and r are those of the names that training knows. They follow the features in training, where gradients pass
    through them, and are saved: a name that comes later is placed among those that were there.

    Args:
        kind: one of SCALES.
        features: gives the (names, feature_dim) features of all names as training starts.
    """

    def __init__(self, kind: str, features: Callable[[], Tensor]):
        super().__init__()
        self.kind = kind
        if kind == "standard":
            unit_features = unit(features().detach())
            self.names = len(unit_features)
            centre = unit_features.mean(0)
            self.register_buffer("centre", centre)
            self.register_buffer("variance", (unit_features - centre).square().sum(-1).mean())

    def forward(self, features: Tensor) -> Tensor:
        """(n, feature_dim) of n of the names -> (n, feature_dim), in float32 at least unless "raw"."""
        if self.kind == "raw":
            return features
        features = unit(features)
        if self.kind == "unit":
            return features
        centre, variance = self.centre, self.variance
        if self.training:
            # Each name pulls with a weight of 1 / names: all of them make their mean, a batch's few a running mean.
            centre = centre + (features - centre).sum(0) / self.names
            variance = variance + ((features - centre).square().sum(-1) - variance).sum() / self.names
            self.centre, self.variance = centre.detach(), variance.detach()
        # Where all names were the same there was nothing to learn deviations from: a later name gets none.
        scale = variance.clamp(min=LEAST_VARIANCE).rsqrt() * (variance > LEAST_VARIANCE)
        return unit(centre) + (features - centre) * scale


class NamePrompts:
    """Prompts ``[SOS] U_1 .. U_M  name . [EOT]`` of the names of tasks or of classes, ready for the text encoder.

    Args:
        text: the frozen text tower, on the device where it stays.
        names: all the names.
        n_ctx: M; without vectors nothing is learned, and the features are computed only once.
        per_name: a set of M vectors for every name instead of one for all.
    """

    def __init__(self, text: TextTower, names: Sequence[str], n_ctx: int, per_name: bool):
        self._text, self._fixed, self.n_ctx = text, None, n_ctx
        self.sets = len(names) if per_name else 1
        self._prompts = [lay_out(text.vocabulary, n, i if per_name else 0, n_ctx) for i, n in enumerate(names)]
        self._packed = lru_cache(maxsize=64)(self._pack)

    def new_context(self) -> nn.Parameter | None:
        """(1 or one per name, M, ctx_dim) U as training starts with it; None without vectors."""
        if not self.n_ctx:
            return None
        return nn.Parameter(torch.empty(self.sets, self.n_ctx, self._text.width).normal_(std=0.02))

    def _pack(self, which: tuple[int, ...]) -> PackedPrompts:
        return pack([self._prompts[i] for i in which]).to(self._text.positional_embedding.device)

    @torch.no_grad()
    def all_features(self, context: Tensor | None) -> Tensor:
        """(names, feature_dim) of all names, not normalised, without gradients."""
        device = self._text.positional_embedding.device
        return self.features(range(len(self._prompts)), None if context is None else context.to(device))

    def features(self, which: Sequence[int], context: Tensor | None) -> Tensor:
        """(len(which), feature_dim) of some of the names, by their numbers, not normalised."""
        if context is not None:
            return encode(self._text, self._packed(tuple(which)), context)
        if self._fixed is None:
            with torch.no_grad():
                self._fixed = encode(self._text, self._pack(tuple(range(len(self._prompts)))))
        return self._fixed[torch.tensor(list(which), device=self._fixed.device)]
