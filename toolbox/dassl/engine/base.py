"""Named models with their optimizers and schedules, and the bare training loop."""

from __future__ import annotations

import os.path as osp
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn as nn
from torch.optim import Optimizer

from dassl.utils import load_checkpoint, resume_from_checkpoint, save_checkpoint, tolist_if_not
from dassl.utils.torchtools import find_checkpoint, load_model_weights, saved_epochs

Result = TypeVar("Result")


def _silence_tensorboard_thread() -> None:
    """Keep the thread that writes the tensorboard log from printing a traceback when the disk is full.

    Its error is raised again by the next call that logs, or by closing the log.
    """
    before = threading.excepthook
    if getattr(before, "silences_tensorboard", False):
        return

    def hook(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and type(args.thread).__module__.startswith("tensorboard.")):
            before(args)

    hook.silences_tensorboard = True  # type: ignore[attr-defined]  # functions take attributes
    threading.excepthook = hook


def _any_signature(method: Callable[..., Result]) -> Callable[..., Result]:
    # For type checkers: upstream's own subclasses override these methods with other arguments.
    return method


class TrainerBase:
    """Base class of all trainers; a subclass implements an epoch.

    Models are registered by name. Saving, resuming, setting modes and stepping schedules apply to all models, or to the
    given names. Checkpoints of the model ``name`` are in ``<directory>/<name>/``.
    """

    start_epoch: int
    epoch: int  # counted from 0
    max_epoch: int

    def __init__(self) -> None:
        self._models: OrderedDict[str, nn.Module] = OrderedDict()
        self._optims: OrderedDict[str, Optimizer | None] = OrderedDict()
        self._scheds: OrderedDict[str, Any] = OrderedDict()
        self._writer: Any = None

    # -- models ---------------------------------------------------------------------------------------------------

    def register_model(
        self,
        name: str = "model",
        model: nn.Module | None = None,
        optim: Optimizer | None = None,
        sched: Any = None,
    ) -> None:
        """Register a model with its optimizer and schedule. ValueError if the name is taken."""
        if "_models" not in self.__dict__:
            raise AttributeError(f"Cannot register model '{name}' before super().__init__() was called")
        if name in self._models:
            raise ValueError(f"A model named '{name}' is already registered; choose another name")
        self._models[name] = model  # type: ignore[assignment]  # None is upstream's default, but not a model
        self._optims[name] = optim
        self._scheds[name] = sched

    def get_model_names(self, names: str | list[str] | None = None) -> list[str]:
        """``names`` as a list, or all names; KeyError for a name that is not registered."""
        known = list(self._models)
        if names is None:
            return known
        names = tolist_if_not(names)
        for name in names:
            if name not in known:
                raise KeyError(f"No model named '{name}' is registered; known: {', '.join(known) or 'none'}")
        return names

    def save_model(
        self,
        epoch: int,
        directory: str,
        is_best: bool = False,
        val_result: float | None = None,
        model_name: str = "",
    ) -> None:
        """Save a checkpoint of every model after ``epoch`` (counted from 0): ``model.pth.tar-<epoch + 1>``."""
        for name in self.get_model_names():
            optim, sched = self._optims[name], self._scheds[name]
            save_checkpoint(
                {
                    "state_dict": self._models[name].state_dict(),
                    "epoch": epoch + 1,
                    "optimizer": None if optim is None else optim.state_dict(),
                    "scheduler": None if sched is None else sched.state_dict(),
                    "val_result": val_result,
                },
                osp.join(directory, name),
                is_best=is_best,
                model_name=model_name,
            )

    def _checkpoint_to_resume(self, directory: str) -> str | None:
        """Return the file name of the latest checkpoint that all models have; None if there is none."""
        folders = [osp.join(directory, name) for name in self.get_model_names()]
        found = [find_checkpoint(folder) for folder in folders]
        if not found or None in found:
            return None
        if len(set(found)) == 1:
            return found[0]
        # The run was killed between the checkpoints of two models: take the last epoch that all have.
        common = set.intersection(*(set(saved_epochs(folder)) for folder in folders))
        return f"model.pth.tar-{max(common)}" if common else None

    def resume_model_if_exist(self, directory: str) -> int:
        """Load every model's latest checkpoint in ``directory``; return the epochs done, 0 without a checkpoint."""
        file_name = self._checkpoint_to_resume(directory)
        if file_name is None:
            print("No checkpoint found, train from scratch")
            return 0
        print(f"Found checkpoint at {directory} (will resume training)")
        start_epoch = 0
        for name in self.get_model_names():
            start_epoch = resume_from_checkpoint(
                osp.join(directory, name), self._models[name], self._optims[name], self._scheds[name], file_name
            )
        return start_epoch

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load every model's weights from ``directory``: the best ones, or those after ``epoch`` epochs.

        Raises:
            FileNotFoundError: there is no such checkpoint; the message lists the saved epochs.
            CheckpointError: it is damaged, or belongs to another model.
        """
        if not directory:
            print(
                "Note that load_model() is skipped as no pretrained model is given "
                "(ignore this if it's done on purpose)"
            )
            return
        file_name = "model-best.pth.tar" if epoch is None else f"model.pth.tar-{epoch}"
        for name in self.get_model_names():
            path = osp.join(directory, name, file_name)
            if not osp.exists(path):
                epochs = saved_epochs(osp.dirname(path))
                available = f"; epochs saved there: {', '.join(map(str, epochs))}" if epochs else ""
                raise FileNotFoundError(f"No model at {path}{available}")
            checkpoint = load_checkpoint(path)
            details = [f"epoch={checkpoint['epoch']}"]
            if checkpoint.get("val_result") is not None:
                details.append(f"val_result={checkpoint['val_result']:.1f}")
            print(f"Load {path} to {name} ({', '.join(details)})")
            load_model_weights(self._models[name], checkpoint["state_dict"], path)

    def set_model_mode(self, mode: str = "train", names: str | list[str] | None = None) -> None:
        """Put models in mode "train", or "eval" (also called "test"); KeyError for any other mode."""
        if mode not in ("train", "test", "eval"):
            raise KeyError(f'Mode "{mode}" is unknown; choose "train" or "eval"')
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    # -- optimization ---------------------------------------------------------------------------------------------

    def update_lr(self, names: str | list[str] | None = None) -> None:
        """Step the schedules: once an epoch, usually after its last batch."""
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def detect_anomaly(self, loss: torch.Tensor) -> None:
        """Raise a FloatingPointError if ``loss`` is not finite."""
        if not torch.isfinite(loss).all():
            raise FloatingPointError("Loss is infinite or NaN!")

    def model_zero_grad(self, names: str | list[str] | None = None) -> None:
        """Clear the gradients of the optimizers' parameters."""
        for name in self.get_model_names(names):
            optim = self._optims[name]
            if optim is not None:
                optim.zero_grad()

    def model_backward(self, loss: torch.Tensor) -> None:
        """Run the backward pass. FloatingPointError if the loss is not finite."""
        self.detect_anomaly(loss)
        loss.backward()

    def model_update(self, names: str | list[str] | None = None) -> None:
        """Step the optimizers."""
        for name in self.get_model_names(names):
            optim = self._optims[name]
            if optim is not None:
                optim.step()

    def model_backward_and_update(self, loss: torch.Tensor, names: str | list[str] | None = None) -> None:
        """Clear the gradients, run the backward pass and step the optimizers."""
        self.model_zero_grad(names)
        self.model_backward(loss)
        self.model_update(names)

    # -- tensorboard ----------------------------------------------------------------------------------------------

    def init_writer(self, log_dir: str) -> None:
        """Open the tensorboard log unless it is open."""
        if self.__dict__.get("_writer") is None:
            # Imported here because it takes a second or more, and evaluation alone does not need it.
            from torch.utils.tensorboard import SummaryWriter

            print(f"Initialize tensorboard (log_dir={log_dir})")
            _silence_tensorboard_thread()
            self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        """Close the tensorboard log if it is open."""
        if self._writer is not None:
            self._writer.close()

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Log one number; without an open log, as in evaluation alone, do nothing."""
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)

    # -- the loop -------------------------------------------------------------------------------------------------

    @_any_signature
    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Run the epochs ``start_epoch`` .. ``max_epoch - 1``. ``before_train`` may change ``self.start_epoch``."""
        self.start_epoch = start_epoch
        self.max_epoch = max_epoch
        self.before_train()
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.before_epoch()
            self.run_epoch()
            self.after_epoch()
        self.after_train()

    def before_train(self) -> None:
        """Hook before the first epoch."""

    def after_train(self) -> None:
        """Hook after the last epoch."""

    def before_epoch(self) -> None:
        """Hook before each epoch."""

    def after_epoch(self) -> None:
        """Hook after each epoch."""

    def _not_implemented(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} does not implement {method}()")

    def run_epoch(self) -> None:
        """Run one epoch; implemented by subclasses."""
        raise self._not_implemented("run_epoch")

    def test(self) -> Any:
        """Evaluate; implemented by subclasses."""
        raise self._not_implemented("test")

    @_any_signature
    def parse_batch_train(self, batch: Any) -> Any:
        """Return the parts of a training batch that the model needs; implemented by subclasses."""
        raise self._not_implemented("parse_batch_train")

    def parse_batch_test(self, batch: Any) -> Any:
        """Return the parts of a test batch that the model needs; implemented by subclasses."""
        raise self._not_implemented("parse_batch_test")

    @_any_signature
    def forward_backward(self, batch: Any) -> dict[str, float] | None:
        """Run one training step and return the numbers to log; implemented by subclasses."""
        raise self._not_implemented("forward_backward")

    def model_inference(self, input: Any) -> Any:
        """Return logits (batch, classes); implemented by subclasses."""
        raise self._not_implemented("model_inference")
