"""MVLPT: multitask vision-language prompt tuning (arXiv 2211.11720), as CoOp learns prompts.

    class prompt   [SOS] V_1 .. V_L  class name . [EOT]           -> text encoder -> class feature

In two stages, both with CoOp's loss:
1. one context V is learned on all tasks at once, as CoOp-MT does, in batches that mix them;
2. every task starts from a copy of it, V^t, and is trained by itself, as CoOp-CA does.

The run's OPTIM.MAX_EPOCH epochs are those of both stages; SHARED_SHARE is the first one's share, one half, since the
authors train both by the same configuration. Each stage has a learning-rate schedule of its own, warm-up included, and
an optimiser state of its own. Learned are V and a V^t a task, (tasks + 1) x L vectors; tests use V^t, and V before
there are any.

After section 3 of the paper and github.com/sIncerass/MVLPT (its CoOp form; prompts of the image tower and both at once,
which it has as well, are not here): 16 vectors, the class name in their middle, batches of 32, SGD, 200 epochs in
either stage. Ours deviates: the published source tasks are other data sets than the target tasks, here both are the
tasks of one collection; the public code's first stage lets the softmax run over the classes of all tasks together, here
it runs over those of an image's own task, as the published SoftCPT table has it for all methods; it deploys the epoch
that is best on validation images (TEST.FINAL_MODEL best_val does so here, over both stages) and may average the
contexts of several first stages; a second stage of several tasks together is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from dassl.optim import build_lr_scheduler, build_optimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from yacs.config import CfgNode

from common.knobs import Knob
from trainers.engine.batches import JointThenOneTask, OneTaskBatches
from trainers.engine.contexts import ContextTable, PromptLearner, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer


class SharedThenOwn(ContextTable):
    """One context for all tasks until `adapt` is called, then a copy of it for each."""

    def __init__(self, n_tasks: int, n_ctx: int, ctx_dim: int, position: str = "end", start: Tensor | None = None):
        start = torch.empty(n_ctx, ctx_dim).normal_(std=0.02) if start is None else start
        super().__init__(n_tasks, n_ctx, ctx_dim, position, start)
        self.shared = nn.Parameter(start.clone())
        self.register_buffer("adapting", torch.tensor(False))  # saved, so that a checkpoint tells what it is tested by

    @torch.no_grad()
    def adapt(self) -> None:
        """Begin the second stage, unless it has begun."""
        if not self.adapting:
            self._start(self.shared)
            self.adapting.fill_(True)

    def contexts(self, tasks: Sequence[int]) -> Tensor:
        return super().contexts(tasks) if self.adapting else self.shared.expand(len(self.ctx), -1, -1)


class Rates(LRScheduler):
    """Learning rates given one by one; the last one stays."""

    def __init__(self, optimizer: torch.optim.Optimizer, rates: Sequence[float]):
        self.rates = list(rates)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [self.rates[min(self.last_epoch, len(self.rates) - 1)]] * len(self.optimizer.param_groups)


def rates_of(optim: CfgNode, epochs: int) -> list[float]:
    """The learning rates of a run of ``epochs`` epochs by itself, one for each step of its schedule."""
    optim = optim.clone()
    optim.defrost()
    optim.MAX_EPOCH = epochs
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=optim.LR)
    schedule, rates = build_lr_scheduler(optimizer, optim), []
    for _ in range(epochs * optim.STEPS_PER_EPOCH):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@TRAINER_REGISTRY.register()
class MVLPT(PromptTrainer):
    """Multitask prompt tuning: a shared context, then each task adapts a copy of it by itself."""

    section = "MVLPT"
    KNOBS = (
        Knob(
            "SHARED_SHARE",
            0.5,
            "share of OPTIM.MAX_EPOCH in which one context is learned on all tasks",
            least=0,
            most=1,
            training=True,
        ),
        Knob("N_CTX", 16, "context vectors in a class prompt", least=1),
        Knob("CTX_INIT", "", "words that the shared context starts from; they set N_CTX", training=True),
        Knob(
            "CLASS_TOKEN_POSITION",
            "middle",
            "place of the class name in a prompt",
            among=("end", "middle", "front"),
        ),
    )

    @property
    def shared_epochs(self) -> int:
        return round(self.knobs.SHARED_SHARE * self.cfg.OPTIM.MAX_EPOCH)

    @property
    def batch_has_one_task(self) -> bool:
        return self.epoch >= self.shared_epochs

    def batches(self, plain, tasks):
        return JointThenOneTask(plain.batch_sampler, OneTaskBatches(tasks, plain.batch_size), self.shared_epochs)

    def build_learner(self) -> PromptLearner:
        k, width = self.knobs, self.tower.text.width
        start = word_vectors(self.tower.text, k.CTX_INIT)
        n_ctx = k.N_CTX if start is None else len(start)
        return SharedThenOwn(len(self.layout), n_ctx, width, k.CLASS_TOKEN_POSITION, start)

    def make_optimizer(self):
        optim, first = self.cfg.OPTIM, self.shared_epochs
        optimizer = build_optimizer(self.model, optim)
        stages = [epochs for epochs in (first, optim.MAX_EPOCH - first) if epochs]
        return optimizer, Rates(optimizer, [rate for epochs in stages for rate in rates_of(optim, epochs)])

    def before_epoch(self) -> None:
        super().before_epoch()
        if self.batch_has_one_task:
            self.model.adapt()
