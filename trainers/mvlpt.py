"""MVLPT: multitask vision-language prompt tuning (arXiv 2211.11720), in its CoOp form.

    class prompt   [SOS] V_1 .. V_L  class name . [EOT]           -> text encoder -> class feature

There are two stages, both with CoOp's loss:
1. one context V is learned on all tasks jointly, like CoOp-MT, in batches that mix tasks;
2. every task starts from a copy of it, V^t, and is trained on its own, like CoOp-CA.

OPTIM.MAX_EPOCH counts the epochs of both stages. SHARED_SHARE is the share of the first: one half, since the authors
train both stages with the same configuration. Each stage has its own learning-rate schedule, including warm-up, and its
own optimiser state. V and one V^t per task are learned, (tasks + 1) x L vectors; tests use V in the first stage and V^t
in the second.

As in section 3 of the paper and github.com/sIncerass/MVLPT: 16 vectors, the class name in their middle, batches of 32,
SGD, 200 epochs in each stage. That code can also prompt the image tower, alone or together with the text tower; ours
cannot. Deviations:
* The published source tasks and target tasks are different data sets; here both are the tasks of one collection.
* In the public code's first stage, the softmax runs over the classes of all tasks. Here it runs over the classes of the
  image's own task, as for all methods in the published SoftCPT table.
* The public code deploys the epoch that is best on validation images (here TEST.FINAL_MODEL best_val does, over both
  stages), and it may average the contexts of several first stages.
* A second stage that trains several tasks together is omitted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from dassl.optim import build_lr_scheduler, build_optimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import BatchSampler, DataLoader
from yacs.config import CfgNode

from common.knobs import Knob
from trainers.engine.batches import JointThenOneTask, OneTaskBatches
from trainers.engine.contexts import ContextTable, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer


class SharedThenOwn(ContextTable):
    """One context for all tasks until `adapt` is called, then a copy of it for each task."""

    shared: nn.Parameter
    adapting: Tensor  # bool scalar: the second stage has begun
    foreign_names = {}
    fresh = ("adapting", "ctx.")  # the second stage begins from the shared context

    def __init__(self, n_tasks: int, n_ctx: int, ctx_dim: int, position: str = "end", start: Tensor | None = None):
        start = torch.empty(n_ctx, ctx_dim).normal_(std=0.02) if start is None else start
        super().__init__(n_tasks, n_ctx, ctx_dim, position, start)
        self.shared = nn.Parameter(start.clone())
        self._read: tuple[Tensor, int, bool] | None = None
        self.register_buffer("adapting", torch.tensor(False))  # saved, since it decides which contexts tests use

    @torch.no_grad()
    def adapt(self) -> None:
        """Begin the second stage, unless it has begun already."""
        if not self._adapting():
            self._start(self.shared)
            self.adapting.fill_(True)

    def _adapting(self) -> bool:
        """Return ``adapting``, read from the device only after it was written, not at every step."""
        written = self.adapting, self.adapting._version
        if self._read is None or self._read[0] is not written[0] or self._read[1] != written[1]:
            self._read = (*written, bool(self.adapting))
        return self._read[2]

    def contexts(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> Tensor:
        return super().contexts(tasks) if self._adapting() else self.shared.expand(len(self.ctx), -1, -1)


class Rates(LRScheduler):
    """A schedule that is a list of learning rates, one per step; the last one stays."""

    def __init__(self, optimizer: Optimizer, rates: Sequence[float]):
        self.rates = list(rates)
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        return [self.rates[min(self.last_epoch, len(self.rates) - 1)]] * len(self.optimizer.param_groups)


def rates_of(optim: CfgNode, epochs: int) -> list[float]:
    """Return the learning rates of a separate run of ``epochs`` epochs, one per step of its schedule."""
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
    """Multitask prompt tuning: a shared context, then each task trains a copy of it on its own."""

    model: SharedThenOwn
    section = "MVLPT"
    KNOBS = (
        Knob(
            "SHARED_SHARE",
            0.5,
            "share of OPTIM.MAX_EPOCH that trains one context on all tasks",
            least=0,
            most=1,
            training=True,
        ),
        Knob("N_CTX", 16, "context vectors in a class prompt", least=1, most=1000),
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

    def batches(self, plain: DataLoader, tasks: list[int]) -> JointThenOneTask:
        joint = plain.batch_sampler
        assert isinstance(joint, BatchSampler)  # a loader with a batch size has one
        separate = OneTaskBatches(tasks, self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE)
        return JointThenOneTask(joint, separate, self.shared_epochs)

    def build_learner(self) -> SharedThenOwn:
        k, width = self.knobs, self.tower.text.width
        start = word_vectors(self.tower.text, k.CTX_INIT)
        n_ctx = k.N_CTX if start is None else len(start)
        return SharedThenOwn(len(self.layout), n_ctx, width, k.CLASS_TOKEN_POSITION, start)

    def make_optimizer(self) -> tuple[Optimizer, Rates]:
        optim, first = self.cfg.OPTIM, self.shared_epochs
        optimizer = build_optimizer(self.model, optim)
        stages = [epochs for epochs in (first, optim.MAX_EPOCH - first) if epochs]
        return optimizer, Rates(optimizer, [rate for epochs in stages for rate in rates_of(optim, epochs)])

    def before_epoch(self) -> None:
        super().before_epoch()
        if self.batch_has_one_task:
            self.model.adapt()
