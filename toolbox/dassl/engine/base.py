"""Named models with their optimizers and schedules, and the bare training loop."""

from __future__ import annotations

import os.path as osp
from collections import OrderedDict
from typing import Any

import torch
import torch.nn as nn
from torch.optim import Optimizer

from dassl.utils import load_checkpoint, resume_from_checkpoint, save_checkpoint, tolist_if_not
from dassl.utils.torchtools import find_checkpoint, load_model_weights, saved_epochs


class TrainerBase:
    """What every trainer has; a subclass says what an epoch does.

    Models are registered by name. Saving, resuming, setting modes and stepping schedules treat all of them, or the
    names given. A checkpoint of the model ``name`` lies in ``<directory>/<name>/``.
    """

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
        """Enter a model with its optimizer and schedule. ValueError when the name is taken."""
        if "_models" not in self.__dict__:
            raise AttributeError(f"Cannot register model '{name}' before super().__init__() was called")
        if name in self._models:
            raise ValueError(f"A model named '{name}' is registered already; give this one another name")
        self._models[name] = model
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
        """Write a checkpoint of every model after ``epoch`` (counted from 0): ``model.pth.tar-<epoch + 1>``."""
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
        """The checkpoint's file name, the same for all models; None when they have none in common."""
        folders = [osp.join(directory, name) for name in self.get_model_names()]
        found = [find_checkpoint(folder) for folder in folders]
        if not found or None in found:
            return None
        if len(set(found)) == 1:
            return found[0]
        # Killed between two models' checkpoints: the last epoch that all of them have.
        common = set.intersection(*(set(saved_epochs(folder)) for folder in folders))
        return f"model.pth.tar-{max(common)}" if common else None

    def resume_model_if_exist(self, directory: str) -> int:
        """Load every model's latest checkpoint in ``directory``; the number of epochs done, 0 when there is none."""
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
        """Load every model's weights from ``directory``: the best, or those after ``epoch`` epochs.

        Raises:
            FileNotFoundError: no such checkpoint; the message says which there are.
            CheckpointError: it is damaged, or of another model.
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
                there = f"; epochs saved there: {', '.join(map(str, epochs))}" if epochs else ""
                raise FileNotFoundError(f"No model at {path}{there}")
            checkpoint = load_checkpoint(path)
            facts = [f"epoch={checkpoint['epoch']}"]
            if checkpoint.get("val_result") is not None:
                facts.append(f"val_result={checkpoint['val_result']:.1f}")
            print(f"Load {path} to {name} ({', '.join(facts)})")
            load_model_weights(self._models[name], checkpoint["state_dict"], path)

    def set_model_mode(self, mode: str = "train", names: str | list[str] | None = None) -> None:
        """Put models in mode "train", or "eval" (also called "test"); KeyError for another word."""
        if mode not in ("train", "test", "eval"):
            raise KeyError(f'Mode "{mode}" is unknown; choose "train" or "eval"')
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    # -- optimization ---------------------------------------------------------------------------------------------

    def update_lr(self, names: str | list[str] | None = None) -> None:
        """Step the schedules; once an epoch, as a rule after its last batch."""
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def detect_anomaly(self, loss: torch.Tensor) -> None:
        """FloatingPointError when ``loss`` is not finite."""
        if not torch.isfinite(loss).all():
            raise FloatingPointError("Loss is infinite or NaN!")

    def model_zero_grad(self, names: str | list[str] | None = None) -> None:
        """Clear the gradients that the optimizers see."""
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].zero_grad()

    def model_backward(self, loss: torch.Tensor) -> None:
        """Backward pass of a finite loss."""
        self.detect_anomaly(loss)
        loss.backward()

    def model_update(self, names: str | list[str] | None = None) -> None:
        """One optimizer step."""
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].step()

    def model_backward_and_update(self, loss: torch.Tensor, names: str | list[str] | None = None) -> None:
        """Clear gradients, go backward, step."""
        self.model_zero_grad(names)
        self.model_backward(loss)
        self.model_update(names)

    # -- tensorboard ----------------------------------------------------------------------------------------------

    def init_writer(self, log_dir: str) -> None:
        """Open the tensorboard log, once."""
        if self.__dict__.get("_writer") is None:
            # Imported here: it takes a second or more, which evaluation alone need not pay.
            from torch.utils.tensorboard import SummaryWriter

            print(f"Initialize tensorboard (log_dir={log_dir})")
            self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        """Close the tensorboard log, if open."""
        if self._writer is not None:
            self._writer.close()

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Log one number; nothing happens while the log is not open, as in evaluation alone."""
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Run the epochs ``start_epoch`` .. ``max_epoch - 1``. ``before_train`` may move ``self.start_epoch``."""
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
        """Hook."""

    def after_train(self) -> None:
        """Hook."""

    def before_epoch(self) -> None:
        """Hook."""

    def after_epoch(self) -> None:
        """Hook."""

    def _missing(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} does not say what {method}() does")

    def run_epoch(self) -> None:
        """One epoch; a subclass says how."""
        raise self._missing("run_epoch")

    def test(self) -> Any:
        """Evaluate; a subclass says how."""
        raise self._missing("test")

    def parse_batch_train(self, batch: Any) -> Any:
        """What the model needs of a training batch; a subclass says what."""
        raise self._missing("parse_batch_train")

    def parse_batch_test(self, batch: Any) -> Any:
        """What the model needs of a test batch; a subclass says what."""
        raise self._missing("parse_batch_test")

    def forward_backward(self, batch: Any) -> dict[str, float] | None:
        """One training step; the numbers to log. A subclass says how."""
        raise self._missing("forward_backward")

    def model_inference(self, input: Any) -> Any:
        """Logits (batch, classes); a subclass says how."""
        raise self._missing("model_inference")
