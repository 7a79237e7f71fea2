"""CoOp: context optimization (arXiv 2109.01134), on one task or on a collection of them.

    class prompt   [SOS] V_1 .. V_L  class name . [EOT]           -> text encoder -> class feature

V is learned directly. On a collection there are three forms, named as in the published table:

    CoOp-CA        one context per task, each task trained on its own
    CoOp-CS        one context per class, each task trained on its own
    CoOp-MT        one context for all tasks, trained on all of them jointly

With JOINT, CoOp-CA and CoOp-CS too are trained jointly, in batches that mix tasks, as the commands released with
SoftCPT do. Whether the published table was made with these is not stated.

Deviation: with initial words, the public code always uses one context for all classes, even if one per class is set;
here, every class's context starts from the words.
"""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from common.knobs import Knob
from trainers.engine.contexts import ClassContextTable, ContextTable, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer

CONTEXTS = {
    "task": "a context per task, each task trained on its own unless JOINT",
    "class": "a context per class, each task trained on its own unless JOINT",
    "shared": "one context for all tasks",
}


@TRAINER_REGISTRY.register()
class CoOp(PromptTrainer):
    """Context optimization, class-agnostic or class-specific."""

    section = "COOP"
    KNOBS = (
        Knob("CONTEXT", "task", "how contexts are shared", among=CONTEXTS),
        Knob("JOINT", False, "train all tasks together, in batches that mix them, also with contexts of their own"),
        Knob("N_CTX", 16, "context vectors in a class prompt", least=1, most=1000),
        Knob(
            "CTX_INIT", "", 'words that the context starts from, such as "a photo of a"; they set N_CTX', training=True
        ),
        Knob("CLASS_TOKEN_POSITION", "end", "place of the class name in a prompt", among=("end", "middle", "front")),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return cfg.TRAINER.COOP.CONTEXT != "shared" and not cfg.TRAINER.COOP.JOINT

    def build_learner(self) -> ContextTable:
        k, width = self.knobs, self.tower.text.width
        start = word_vectors(self.tower.text, k.CTX_INIT)
        n_ctx = k.N_CTX if start is None else len(start)
        if k.CONTEXT == "class":
            n_classes = [len(task.classnames) for task in self.layout.tasks]
            return ClassContextTable(n_classes, n_ctx, width, k.CLASS_TOKEN_POSITION, start)
        n_contexts = len(self.layout) if k.CONTEXT == "task" else 1
        return ContextTable(n_contexts, n_ctx, width, k.CLASS_TOKEN_POSITION, start)
