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
affect its loss, and classes that are not sampled are not encoded in the first pass either. The sub-network mlp is ours,
and so is the weight of prompts for new tasks, see trainers/engine/new_tasks.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from yacs.config import CfgNode

from classifier.heads import Head, LinearHead
from classifier.questions import MetaQuestions, Questions, about_new
from common.errors import InputError
from common.knobs import Knob
from common.notices import notice
from prompting.meta_network import MetaNetwork
from prompting.templates import blended
from prompting.transfers import on_host
from trainers.engine import new_tasks
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
        Knob(
            "NEW_TASK_FOLDS",
            0,
            "trainings without some of the tasks, which tell how far prompts for new tasks can be trusted; 0: none",
            least=0,
            most=1000,
            never=(1,),
            must="0, or a whole number from 2 to 1000",
            training=True,
        ),
    )

    new_task_weight: float | None = None  # of its own prompts for tasks that it was not trained on; None: not measured
    measured: new_tasks.Measured | None = None  # by this run

    @classmethod
    def carries_residual(cls, cfg: CfgNode) -> bool:
        return True

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        k = cfg.TRAINER.SOFTCPT
        if k.SUB_NETWORK in ("linmean", "lincls") and k.VARIANT not in CLASS_SPECIFIC:
            raise InputError(
                f"The sub-network {k.SUB_NETWORK} needs class features, but SoftCPT's variant {k.VARIANT} has none; "
                f"use one of {', '.join(CLASS_SPECIFIC)}."
            )
        method, key = self.method(cfg), "TRAINER.SOFTCPT.NEW_TASK_FOLDS"
        if k.NEW_TASK_FOLDS and method.tied_to != "nothing":
            raise InputError(f"{key} is about new tasks, and {method.name} has {method.ties}; set it to 0.")
        if k.NEW_TASK_FOLDS and (cfg.MODEL.FROM or cfg.MODEL.INIT_WEIGHTS):
            raise InputError(
                f"{key} holds tasks out of training, and MODEL.FROM or MODEL.INIT_WEIGHTS may have seen them; set it "
                "to 0, or train from the start."
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

    def build_model(self) -> None:
        # The tasks that it is, or was, trained on. MODEL.FROM asks for `questions`, and so for these.
        self.known = tuple(task.name for task in self.layout.tasks)
        super().build_model()

    def questions(self) -> Questions:
        state = self.model.state_dict()
        return MetaQuestions(self.trained_tasks, self.settings(), state, self.known, self.new_task_weight)

    # -- tasks that it was not trained on --

    def head(self) -> Head:
        """As for all prompts, but class features of new tasks are blended with their templates'."""
        features, _ = self.text_features(range(len(self.layout)))
        new = [number for number, task in enumerate(self.layout.tasks) if task.name not in self.known]
        if new and self.new_task_weight is not None:
            rows = self.layout.classes_of_all(new)
            features = features.detach().clone()
            features[rows] = blended(self.handwritten_features[rows], features[rows], self.new_task_weight)
        return LinearHead(self.layout, features, self.tower.logit_scale)

    def after_train(self) -> None:
        if self.knobs.NEW_TASK_FOLDS and not self.cfg.TEST.NO_TEST:
            began = time.time()
            self.measured = new_tasks.measure(self, self.knobs.NEW_TASK_FOLDS)
            self.new_task_weight = self.measured.weight
            print(self.measured.line)
            self.seconds["new_tasks"] = time.time() - began
            if self._began_training is not None:  # it is not training
                self._began_training += self.seconds["new_tasks"]
        super().after_train()

    def evaluates(self, record: Mapping[str, Any]) -> None:
        found = record.get("new_tasks")
        weight = found.get("weight") if isinstance(found, dict) else None
        if isinstance(weight, (int, float)) and 0 <= weight <= 1:
            self.new_task_weight = float(weight)
        tasks = record.get("tasks")
        if isinstance(tasks, list) and self.method(self.cfg).tied_to == "nothing":
            self.known = tuple(str(task.get("name")) for task in tasks if isinstance(task, dict))
            new = [task.name for task in self.layout.tasks if task.name not in self.known]
            if new:
                notice(about_new(self.label(self.cfg), new, [self.new_task_weight]))

    def report(self) -> dict[str, Any]:
        if self.measured is not None:
            return {**super().report(), "new_tasks": self.measured.recorded()}
        weight = {} if self.new_task_weight is None else {"new_tasks": {"weight": self.new_task_weight}}
        return {**super().report(), **weight}

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
