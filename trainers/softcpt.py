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
from typing import Any

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from yacs.config import CfgNode

from classifier.questions import MetaQuestions, Questions
from common.errors import InputError
from common.knobs import Knob
from prompting.meta_network import MetaNetwork
from prompting.transfers import on_host
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

    def settings(self) -> dict[str, Any]:
        """Return what builds the network, besides tower and tasks."""
        k = self.knobs
        star = k.VARIANT == "STAR"
        return {
            "n_ctx": k.N_CTX,
            "task_n_ctx": 0 if star else k.TASK_N_CTX,
            "per_task": k.VARIANT.endswith("TS"),
            "position": k.CLASS_TOKEN_POSITION,
            "class_n_ctx": k.CLASS_N_CTX if k.VARIANT in CLASS_SPECIFIC else None,
            "per_class": k.VARIANT.startswith("CS"),
            "kind": k.SUB_NETWORK,
            "bias": star,
            "features": k.FEATURES,
        }

    def build_learner(self) -> MetaNetwork:
        return MetaNetwork(self.tower.text, self.layout, **self.settings())

    def questions(self) -> Questions:
        return MetaQuestions(self.trained_tasks, self.settings(), self.model.state_dict())

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
