"""SoftCPT: soft context sharing for prompt tuning (arXiv 2208.13474).

One small meta network, shared by all tasks, generates the prompt context of every task:

    task prompt    [SOS] U_1 .. U_M  task name . [EOT]            -> text encoder -> task feature f_t
    sub-network    f_t -> S^t_1 .. S^t_L                          one linear map
    class prompt   [SOS] S^t_1 .. S^t_L  class name . [EOT]       -> text encoder -> class feature

Only U and the linear map are learned, on the few shots of all tasks jointly.

The class-specific variants generate a context for every class c, and encode class names twice:

    class prompt   [SOS] V_1 .. V_K  class name . [EOT]           -> text encoder -> g_c
    sub-network    [g_c ; f_t] -> S^c_1 .. S^c_L                  also: of their mean (linmean), of g_c alone (lincls)
    class prompt   [SOS] S^c_1 .. S^c_L  class name . [EOT]       -> text encoder -> class feature

A variant's name states how V and U are shared: NA no V, CA/TA one set for all classes/tasks, CS/TS one set each.
SoftCPT*, here STAR, has a bias and no U. The released code does not contain it; this form is inferred from the
published number of parameters, 1024 * 8192 + 8192.

Deviations from the released code: sub-networks compute in float32 even if the tower uses float16; lincls has no U,
since it does not use the task feature; classes are sampled for the tasks of a batch only, since other tasks do not
affect its loss, and classes that are not sampled are not encoded in the first pass either. The sub-network mlp is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from common.errors import InputError
from common.knobs import Knob
from prompting.meta_network import FeatureScale, NamePrompts, build_sub_network, join
from prompting.padded_text import AnyText
from prompting.tasks import TaskLayout
from prompting.transfers import on_host, upload
from trainers.engine.contexts import PromptLearner
from trainers.engine.prompt_trainer import PromptTrainer
from trainers.engine.tasks_of_batch import tasks_of

VARIANTS = {
    "NATA": "task context shared by all tasks",
    "NATS": "a task context per task",
    "CATA": "class context shared by all classes, task context by all tasks",
    "CATS": "class context shared by all classes, a task context per task",
    "CSTA": "a class context per class, task context shared by all tasks",
    "CSTS": "a class context per class, a task context per task",
    "STAR": "SoftCPT*: no learnable task context, and a bias",
}
CLASS_SPECIFIC = ("CATA", "CATS", "CSTA", "CSTS")


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
    """

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
    ):
        super().__init__()
        self.n_ctx, self.position, self.kind, self._layout = n_ctx, position, kind, layout
        self.class_specific = class_n_ctx is not None
        # NamePrompts are not modules: the frozen tower in them must not become part of what is learned and saved.
        names = [task.name for task in layout.tasks]
        tasks = None if kind == "lincls" else NamePrompts(text, names, task_n_ctx, per_task)
        self.task_context = tasks.new_context() if tasks else None
        classes = None if class_n_ctx is None else NamePrompts(text, layout.classnames, class_n_ctx, per_class)
        self.class_context = classes.new_context() if classes else None
        if tasks:
            self.task_scale = FeatureScale(features, lambda: tasks.all_features(self.task_context))
        if classes:
            self.class_scale = FeatureScale(features, lambda: classes.all_features(self.class_context))
        self._tasks, self._classes = tasks, classes
        self.sub_network = build_sub_network(kind, text.feature_dim, n_ctx, text.width, self.class_specific, bias)

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


@TRAINER_REGISTRY.register()
class SoftCPT(PromptTrainer):
    """Soft context sharing for prompt tuning, in all variants."""

    model: MetaNetwork
    section = "SOFTCPT"
    KNOBS = (
        Knob("VARIANT", "NATA", "how class and task contexts are shared", among=VARIANTS),
        Knob(
            "SUB_NETWORK",
            "linear",
            "what generates the contexts; linmean and lincls are for class-specific variants",
            among=("linear", "mlp", "linmean", "lincls"),
        ),
        Knob(
            "FEATURES",
            "raw",
            "scale of the sub-network's input: raw (published), unit, or standard (for any tower, see docs/methods.md)",
            among=("raw", "unit", "standard"),
        ),
        Knob("N_CTX", 16, "L: context vectors in a class prompt", least=1, most=1000),
        Knob("TASK_N_CTX", 4, "M: learnable vectors in a task prompt; STAR has none", least=0, most=1000),
        Knob(
            "CLASS_N_CTX",
            4,
            "K: learnable vectors in the first class prompt of a class-specific variant",
            least=0,
            most=1000,
        ),
        Knob(
            "CLASS_SAMPLE_RATE",
            0.0,
            "class-specific variants train on a batch's classes and this share of the others; 0: on all classes",
            least=0,
            most=1,
            training=True,
        ),
        Knob("CLASS_TOKEN_POSITION", "end", "place of the class name in a prompt", among=("end", "middle", "front")),
    )

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        k = cfg.TRAINER.SOFTCPT
        if k.SUB_NETWORK in ("linmean", "lincls") and k.VARIANT not in CLASS_SPECIFIC:
            raise InputError(
                f"The sub-network {k.SUB_NETWORK} needs class features, but SoftCPT's variant {k.VARIANT} has none; "
                f"use one of {', '.join(CLASS_SPECIFIC)}."
            )

    def build_learner(self) -> MetaNetwork:
        k = self.knobs
        star = k.VARIANT == "STAR"
        return MetaNetwork(
            self.tower.text,
            self.layout,
            k.N_CTX,
            0 if star else k.TASK_N_CTX,
            per_task=k.VARIANT.endswith("TS"),
            position=k.CLASS_TOKEN_POSITION,
            class_n_ctx=k.CLASS_N_CTX if k.VARIANT in CLASS_SPECIFIC else None,
            per_class=k.VARIANT.startswith("CS"),
            kind=k.SUB_NETWORK,
            bias=star,
            features=k.FEATURES,
        )

    def classes_to_encode(self, label: Tensor, task: Tensor) -> list[int] | None:
        """Return a batch's classes, plus a random share of its tasks' other classes, rounded up (released code)."""
        rate = self.knobs.CLASS_SAMPLE_RATE
        if not rate or not self.model.class_specific:
            return None
        chosen = set(on_host(label))
        for t in tasks_of(task):
            others = [c for c in self.layout.classes_of(t) if c not in chosen]
            sampled = torch.randperm(len(others))[: math.ceil(len(others) * rate)]
            chosen.update(others[i] for i in sampled.tolist())
        return sorted(chosen)
