"""Learning-rate schedules, with an optional warm-up."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, StepLR
from yacs.config import CfgNode

AVAI_SCHEDS = ["single_step", "multi_step", "cosine"]


class _BaseWarmupScheduler(LRScheduler):
    """Sets its own learning rates for ``warmup_epoch`` epochs, then uses those of ``successor``.

    ``successor`` is built on the same optimizer and does not step during the warm-up. The step that ends the warm-up
    applies the successor's first learning rates; only later steps advance it.

    Args:
        verbose: ignored; accepted because plugins pass it. PyTorch no longer takes it.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        successor: LRScheduler,
        warmup_epoch: int,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        if self.last_epoch >= self.warmup_epoch:
            # PyTorch warns about the argument whatever its value, so it is passed only if given.
            self.successor.step() if epoch is None else self.successor.step(epoch)
            self._last_lr = self.successor.get_last_lr()
        else:
            super().step(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Like PyTorch's, but with the successor's state: the successor itself would include the optimizer."""
        state = super().state_dict()
        state["successor"] = self.successor.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        successor = state.pop("successor", None)
        if isinstance(successor, LRScheduler):
            successor = successor.state_dict()
        if successor is not None:
            self.successor.load_state_dict(successor)
        super().load_state_dict(state)


class ConstantWarmupScheduler(_BaseWarmupScheduler):
    """``cons_lr`` during the warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        successor: LRScheduler,
        warmup_epoch: int,
        cons_lr: float,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.cons_lr = cons_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)

    def get_lr(self) -> list[float | Tensor]:
        if self.last_epoch >= self.warmup_epoch:
            return self.successor.get_last_lr()
        return [self.cons_lr] * len(self.base_lrs)


class LinearWarmupScheduler(_BaseWarmupScheduler):
    """``min_lr`` in the first epoch, then epoch / ``warmup_epoch`` times the base learning rate."""

    def __init__(
        self,
        optimizer: Optimizer,
        successor: LRScheduler,
        warmup_epoch: int,
        min_lr: float,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.min_lr = min_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)

    def get_lr(self) -> list[float | Tensor]:
        if self.last_epoch >= self.warmup_epoch:
            return self.successor.get_last_lr()
        if self.last_epoch == 0:
            return [self.min_lr] * len(self.base_lrs)
        return [lr * self.last_epoch / self.warmup_epoch for lr in self.base_lrs]


def _main_schedule(optimizer: Optimizer, cfg: CfgNode) -> LRScheduler:
    if cfg.LR_SCHEDULER == "cosine":
        # Checkpoints store T_max, and upstream's is a float.
        return CosineAnnealingLR(optimizer, float(cfg.MAX_EPOCH))  # type: ignore[arg-type]  # any number works
    stepsize = cfg.STEPSIZE
    if cfg.LR_SCHEDULER == "multi_step":
        if not isinstance(stepsize, (list, tuple)):
            raise TypeError(f"OPTIM.STEPSIZE must be a list of epochs for multi_step, but got {stepsize!r}")
        return MultiStepLR(optimizer, milestones=stepsize, gamma=cfg.GAMMA)
    if isinstance(stepsize, (list, tuple)):
        stepsize = stepsize[-1]
    if not isinstance(stepsize, int):
        raise TypeError(f"OPTIM.STEPSIZE must be a whole number of epochs for single_step, but got {stepsize!r}")
    return StepLR(optimizer, step_size=stepsize if stepsize > 0 else cfg.MAX_EPOCH, gamma=cfg.GAMMA)


def build_lr_scheduler(optimizer: Optimizer, optim_cfg: CfgNode) -> LRScheduler:
    """Build the schedule ``optim_cfg.LR_SCHEDULER``, after a warm-up if WARMUP_EPOCH is above 0. Step it once an epoch.

    With WARMUP_RECOUNT the schedule starts after the warm-up. Without it, the schedule continues as if it had run
    during the warm-up, from the base learning rate.

    Raises:
        ValueError: unknown schedule or warm-up.
        TypeError: STEPSIZE does not suit the schedule.
    """
    cfg = optim_cfg
    if cfg.LR_SCHEDULER not in AVAI_SCHEDS:
        raise ValueError(f"OPTIM.LR_SCHEDULER must be one of {AVAI_SCHEDS}, but got {cfg.LR_SCHEDULER}")
    scheduler = _main_schedule(optimizer, cfg)
    if cfg.WARMUP_EPOCH <= 0:
        return scheduler
    if not cfg.WARMUP_RECOUNT:
        scheduler.last_epoch = cfg.WARMUP_EPOCH
    if cfg.WARMUP_TYPE == "constant":
        return ConstantWarmupScheduler(optimizer, scheduler, cfg.WARMUP_EPOCH, cfg.WARMUP_CONS_LR)
    if cfg.WARMUP_TYPE == "linear":
        return LinearWarmupScheduler(optimizer, scheduler, cfg.WARMUP_EPOCH, cfg.WARMUP_MIN_LR)
    raise ValueError(f'OPTIM.WARMUP_TYPE must be "constant" or "linear", but got "{cfg.WARMUP_TYPE}"')
