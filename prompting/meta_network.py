"""The meta network: names in, prompt contexts out (paper, section on the meta network).

The text encoder turns names, each after a few learnable vectors, into features. These are scaled, and a sub-network
turns them into contexts. `MetaNetwork` is all of it, in every variant of trainers/softcpt.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from prompting.contexts import PromptLearner
from prompting.losses import unit
from prompting.padded_text import AnyText
from prompting.prompts import lay_out
from prompting.tasks import TaskLayout
from prompting.text_encoder import Packed, encode, pack_for
from prompting.transfers import upload

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
MIN_VARIANCE = 1e-6  # of features of unit norm; below it, the names count as equal
# The hidden layer of "mlp" is a text feature's width / 16, as in CoCoOp's meta-net, but at least 32.
BOTTLENECK, MIN_HIDDEN = 16, 32


class SubNetwork(nn.Module):
    """One linear map from a text feature to the ``n_ctx`` context vectors of a prompt.

    The released code draws the matrix with standard deviation 0.02 and has no bias. SoftCPT* sets ``bias``, because its
    published number of parameters, 1024 * 8192 + 8192, includes one.
    """

    def __init__(self, feature_dim: int, n_ctx: int, ctx_dim: int, bias: bool = False, std: float = 0.02):
        super().__init__()
        self.n_ctx, self.ctx_dim = n_ctx, ctx_dim
        self.weight = nn.Parameter(torch.empty(feature_dim, n_ctx * ctx_dim).normal_(std=std))
        self.bias = nn.Parameter(torch.zeros(n_ctx * ctx_dim)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(n, feature_dim) of any dtype -> (n, n_ctx, ctx_dim) in the dtype of the weight."""
        flat = features.to(self.weight.dtype) @ self.weight
        if self.bias is not None:
            flat = flat + self.bias
        return flat.unflatten(-1, (self.n_ctx, self.ctx_dim))


class MLPSubNetwork(SubNetwork):
    """Two linear maps with biases and a ReLU between them; not in the paper or its code, for comparison only."""

    def __init__(self, feature_dim: int, n_ctx: int, ctx_dim: int, hidden: int, std: float = 0.02):
        super().__init__(hidden, n_ctx, ctx_dim, bias=True, std=std)
        self.hidden_weight = nn.Parameter(torch.empty(feature_dim, hidden).normal_(std=std))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, features: Tensor) -> Tensor:
        """(n, feature_dim) of any dtype -> (n, n_ctx, ctx_dim) in the dtype of the weight."""
        return super().forward(torch.relu(features.to(self.weight.dtype) @ self.hidden_weight + self.hidden_bias))


def build_sub_network(
    kind: str, feature_dim: int, n_ctx: int, ctx_dim: int, two_features: bool = False, bias: bool = False
) -> SubNetwork:
    """Build one of SUB_NETWORKS for features of size ``feature_dim``; ``two_features``: of the class and its task."""
    width = 2 * feature_dim if two_features and kind in ("linear", "mlp") else feature_dim
    if kind == "mlp":
        return MLPSubNetwork(width, n_ctx, ctx_dim, max(MIN_HIDDEN, feature_dim // BOTTLENECK))
    return SubNetwork(width, n_ctx, ctx_dim, bias)


def join(kind: str, class_features: Tensor, task_features: Tensor) -> Tensor:
    """(n, d) class features and (n, d) features of their tasks -> a sub-network's input, (n, 2 d) or (n, d)."""
    if kind == "linmean":
        return (class_features + task_features) / 2
    return torch.cat([class_features, task_features], dim=-1)


class FeatureScale(nn.Module):
    """Brings text features to a scale that does not depend on the tower.

    A linear map W of features x gives S = W x, so a descent step of size e moves the context of task t by
    -e sum_u <x_t, x_u> g_u, where g_u is the gradient of u's context. This is the step of CoOp with a context per task,
    times the Gram matrix of the features. Raw features multiply that step by their squared norm and the initial size of
    a context by their norm; both depend on the tower and mean nothing. Features of unit norm fix this, but the tower
    still decides how much tasks share: features of most text towers lie in a narrow cone, where any two names are
    similar.

    "standard", for features of unit norm u_t with mean c and the root mean square r of |u_t - c| over all names:

        x_t = c / |c| + (u_t - c) / r

    Then S_t = shared + own: all tasks learn one context at the rate of CoOp's shared one, and deviations start and move
    like CoOp's contexts per task, similarly for related names. A single name has no deviation: x_t = c / |c|.

    c and r are statistics of the names seen in training. They follow the features during training, with gradients, and
    are saved, so that later names are scaled relative to those names.

    Args:
        kind: one of SCALES.
        features: returns the (names, feature_dim) features of all names at the start of training.
    """

    centre: Tensor  # c
    variance: Tensor  # r squared

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
        """(n, feature_dim) of some names -> (n, feature_dim), in float32 or wider unless "raw"."""
        if self.kind == "raw":
            return features
        features = unit(features)
        if self.kind == "unit":
            return features
        centre, variance = self.centre, self.variance
        if self.training:
            # Each name has weight 1 / names: all names together give their mean, those of a batch a running mean.
            centre = centre + (features - centre).sum(0) / self.names
            variance = variance + ((features - centre).square().sum(-1) - variance).sum() / self.names
            self.centre, self.variance = centre.detach(), variance.detach()
        # If all names were equal, no deviation was learned, so later names get none.
        scale = variance.clamp(min=MIN_VARIANCE).rsqrt() * (variance > MIN_VARIANCE)
        return unit(centre) + (features - centre) * scale


class NamePrompts:
    """Prompts ``[SOS] U_1 .. U_M  name . [EOT]`` of the names of tasks or of classes, for the text encoder.

    Args:
        text: the frozen text tower, on its final device.
        names: all names.
        n_ctx: M; if 0, nothing is learned and the features are computed only once.
        per_name: use a set of M vectors for each name instead of one for all.
    """

    def __init__(self, text: AnyText, names: Sequence[str], n_ctx: int, per_name: bool):
        self._text, self.n_ctx = text, n_ctx
        self._fixed: Tensor | None = None  # all features, if they do not depend on a context
        self.sets = len(names) if per_name else 1
        self._prompts = [lay_out(text.vocabulary, n, i if per_name else 0, n_ctx) for i, n in enumerate(names)]
        self._packed = lru_cache(maxsize=64)(self._pack)

    def new_context(self) -> nn.Parameter | None:
        """Return the initial U, (1 or names, M, ctx_dim); None if M is 0."""
        if not self.n_ctx:
            return None
        return nn.Parameter(torch.empty(self.sets, self.n_ctx, self._text.width).normal_(std=0.02))

    def _pack(self, which: tuple[int, ...]) -> Packed:
        return pack_for(self._text, [self._prompts[i] for i in which]).to(self._text.device)

    @torch.no_grad()
    def all_features(self, context: Tensor | None) -> Tensor:
        """Return the features of all names, (names, feature_dim), not normalised and without gradients."""
        device = self._text.device
        return self.features(range(len(self._prompts)), None if context is None else context.to(device))

    def features(self, which: Sequence[int], context: Tensor | None) -> Tensor:
        """Return the features of the names with the numbers ``which``, (len(which), feature_dim), not normalised."""
        if context is not None:
            return encode(self._text, self._packed(tuple(which)), context)
        if self._fixed is None:
            with torch.no_grad():
                self._fixed = encode(self._text, self._pack(tuple(range(len(self._prompts)))))
        return self._fixed[upload(which, self._fixed.device)]


class MetaNetwork(PromptLearner):
    """Generates one context per task or class from names and learnable vectors (paper, section on the meta network).

    Args:
        text: the frozen text tower.
        layout: tasks and their names.
        n_ctx: L, context vectors per class prompt.
        task_n_ctx: M, learnable vectors per task prompt.
        per_task: one set of task context vectors per task (TS) instead of one for all (TA).
        position: of the class name in the class prompts.
        class_n_ctx: K, learnable vectors per class prompt of the first pass; None (NA) for a context per task.
        per_class: one set of class context vectors per class (CS) instead of one for all (CA).
        kind: of sub-network, one of SUB_NETWORKS.
        bias: add a bias to a linear sub-network.
        features: scaling of the sub-network's input, one of SCALES.
        seen: training starts from the names of ``layout``; False if the state of a trained network will be loaded, so
            that no name is encoded now.
    """

    shared_words = "the meta network"
    task_context: nn.Parameter | None
    class_context: nn.Parameter | None
    task_scale: FeatureScale
    class_scale: FeatureScale

    def __init__(
        self,
        text: AnyText,
        layout: TaskLayout,
        n_ctx: int,
        task_n_ctx: int,
        per_task: bool,
        position: str = "end",
        *,
        class_n_ctx: int | None = None,
        per_class: bool = False,
        kind: str = "linear",
        bias: bool = False,
        features: str = "raw",
        seen: bool = True,
    ):
        super().__init__()
        self.n_ctx, self.position, self.kind, self._layout = n_ctx, position, kind, layout
        self.class_specific = class_n_ctx is not None
        owners = {"task_context": per_task and "tasks", "class_context": per_class and "classes"}
        self._rows = {name: owner for name, owner in owners.items() if owner}
        # NamePrompts are not modules: the frozen tower in them must not become part of what is learned and saved.
        names = [task.name for task in layout.tasks]
        tasks = None if kind == "lincls" else NamePrompts(text, names, task_n_ctx, per_task)
        self.task_context = tasks.new_context() if tasks else None
        classes = None if class_n_ctx is None else NamePrompts(text, layout.classnames, class_n_ctx, per_class)
        self.class_context = classes.new_context() if classes else None

        def scale(prompts: NamePrompts, context: nn.Parameter | None) -> FeatureScale:
            none = torch.zeros(1, text.feature_dim)
            return FeatureScale(features, lambda: prompts.all_features(context) if seen else none)

        if tasks:
            self.task_scale = scale(tasks, self.task_context)
        if classes:
            self.class_scale = scale(classes, self.class_context)
        self._tasks, self._classes = tasks, classes
        self.sub_network = build_sub_network(kind, text.feature_dim, n_ctx, text.width, self.class_specific, bias)

    @property
    def rows(self) -> Mapping[str, str]:
        return self._rows

    def context_of_class(self, task: int, flat_class: int) -> int:
        return flat_class if self.class_specific else task

    def _task_features(self, tasks: Sequence[int]) -> Tensor:
        assert self._tasks is not None  # only lincls has none, and it does not read task features
        return self.task_scale(self._tasks.features(tasks, self.task_context))

    def task_features(self) -> Tensor | None:
        return self._tasks.all_features(self.task_context) if self._tasks else None

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        """Return S^t, (all tasks, L, ctx_dim), or S^c, (all classes, L, ctx_dim); rows that are not requested are 0."""
        tasks = list(tasks)
        if self._classes is None:
            features, rows, n_contexts = self._task_features(tasks), tasks, len(self._layout)
        else:
            rows = self._layout.classes_of_all(tasks) if classes is None else list(classes)
            n_contexts = self._layout.n_classes
            features = self.class_scale(self._classes.features(rows, self.class_context))
            if self._tasks:
                index = {task: i for i, task in enumerate(tasks)}
                task_rows = [index[task] for task in self._layout.task_of_class[rows].tolist()]
                task_features = self._task_features(tasks)
                features = join(self.kind, features, task_features[upload(task_rows, features.device)])
        generated = self.sub_network(features)
        contexts = generated.new_zeros(n_contexts, *generated.shape[1:])
        return contexts.index_copy(0, upload(rows, generated.device), generated)
