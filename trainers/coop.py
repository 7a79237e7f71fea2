"""CoOp: context optimization (arXiv 2109.01134), on one task or on a collection of them.

    class prompt   [SOS] V_1 .. V_L  class name . [EOT]           -> text encoder -> class feature

V is learned directly. On a collection, every task has a context of its own and is trained by itself (CoOp-CA in the
published table), or every class has one and every task is trained by itself (CoOp-CS), or one context is shared by all
tasks and trained on all at once (CoOp-MT).

Deviation: the public code starts from words with one context for all classes, whatever is asked for; here every class's
context starts from them.
"""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from common.errors import unknown
from trainers.engine.base import PromptLearner, PromptTrainer
from trainers.engine.contexts import ClassContextTable, ContextTable, word_vectors

CONTEXTS = {
    "task": "a context per task, each task trained by itself",
    "class": "a context per class, each task trained by itself",
    "shared": "one context for all tasks",
}
LABELS = {"task": "CoOp-CA", "class": "CoOp-CS", "shared": "CoOp-MT"}


def extend_cfg(cfg: CfgNode) -> None:
    """cfg.TRAINER.COOP, with CoOp's values."""
    cfg.TRAINER.COOP = CfgNode()
    cfg.TRAINER.COOP.CONTEXT = "task"  # task, class or shared
    cfg.TRAINER.COOP.N_CTX = 16  # context vectors in a class prompt
    cfg.TRAINER.COOP.CTX_INIT = ""  # words that the context starts from, such as "a photo of a"; they set N_CTX
    cfg.TRAINER.COOP.CLASS_TOKEN_POSITION = "end"  # "end", "middle" or "front"
    cfg.TRAINER.COOP.PREC = "fp16"  # fp16, bf16 or fp32; a CPU takes fp32 for fp16


@TRAINER_REGISTRY.register()
class CoOp(PromptTrainer):
    """Context optimization, class-agnostic or class-specific."""

    section = "COOP"
    training_knobs = ("CTX_INIT",)

    @classmethod
    def label(cls, cfg: CfgNode) -> str:
        """As the published table calls them: CA for a context per task, CS for one per class, MT for one shared."""
        return LABELS.get(cfg.TRAINER.COOP.CONTEXT, "CoOp")

    @classmethod
    def tied_to(cls, cfg: CfgNode) -> str:
        return {"task": "tasks", "class": "classes"}.get(cfg.TRAINER.COOP.CONTEXT, "nothing")

    @property
    def one_task_batches(self) -> bool:
        return self.knobs.CONTEXT != "shared"

    def check_cfg(self, cfg):
        super().check_cfg(cfg)
        if cfg.TRAINER.COOP.CONTEXT not in CONTEXTS:
            raise unknown("CoOp context", cfg.TRAINER.COOP.CONTEXT, CONTEXTS)

    def build_learner(self) -> PromptLearner:
        k, width = self.knobs, self.tower.text.width
        start = word_vectors(self.tower.text, k.CTX_INIT)
        n_ctx = k.N_CTX if start is None else len(start)
        if k.CONTEXT == "class":
            n_classes = [len(task.classnames) for task in self.layout.tasks]
            return ClassContextTable(n_classes, n_ctx, width, k.CLASS_TOKEN_POSITION, start)
        n_contexts = len(self.layout) if k.CONTEXT == "task" else 1
        return ContextTable(n_contexts, n_ctx, width, k.CLASS_TOKEN_POSITION, start)
