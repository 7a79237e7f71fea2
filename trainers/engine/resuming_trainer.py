"""A Dassl trainer that survives being killed: it keeps the newest epoch's checkpoint and resumes from it.

A checkpoint that cannot be used is reported in one line.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dassl.engine import TrainerX
from torch import Tensor, nn
from yacs.config import CfgNode

from common.catalogue import Method
from common.errors import InputError
from common.knobs import Knob
from common.notices import notice
from common.paths import CHECKPOINTS
from common.text import one_line as without_breaks
from common.text import some
from prompting.tasks import TaskLayout
from trainers.engine.checkpoint_fit import check_compatible, check_images, check_tied, note_tasks, noted_seconds
from trainers.engine.knobs import knobs_of, method_of
from trainers.engine.saved_prompts import read_saved


@contextlib.contextmanager
def one_line(failure: str, remedy: str) -> Iterator[None]:
    """Turn errors of reading a checkpoint into an InputError of one line: what failed and what to do."""
    try:
        yield
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        reason = without_breaks(error) or type(error).__name__
        if reason.startswith("Checkpoint "):  # our toolbox's message, which names the file and ends with its own advice
            raise InputError(f"{reason.rpartition('; ')[0] or reason}; {remedy}.") from None
        raise InputError(f"{failure} ({reason}); {remedy}.") from None


def checkpoint_of(directory: Path | str, epoch: int | None = None) -> Path:
    """Return the path of an epoch's checkpoint in a run's folder; the file need not exist.

    Without an epoch, this is the run's final checkpoint: the best on validation images if there is one, else the
    newest. ``directory`` may also be a checkpoint itself.
    """
    if Path(directory).is_file():
        return Path(directory)
    folder = Path(directory) / CHECKPOINTS
    if epoch is not None:
        return folder / f"model.pth.tar-{epoch}"
    best = folder / "model-best.pth.tar"
    try:
        return best if best.exists() else folder / (folder / "checkpoint").read_text(encoding="utf-8").strip()
    except OSError:
        return best


class ResumingTrainer(TrainerX):
    """Saves a checkpoint after every epoch and resumes automatically. Its only model is called "prompt_learner", as in
    CoOp.

    Subclasses set ``layout``, ``section`` and ``KNOBS``, and have an entry in the catalogue of methods. ``seconds``
    counts training and testing, including the training of the interrupted runs that this one continues.
    """

    section: str  # the method's settings are cfg.TRAINER.<section>
    KNOBS: tuple[Knob, ...] = ()
    layout: TaskLayout
    model: nn.Module

    def __init__(self, cfg: CfgNode):
        self.seconds = {"train": 0.0, "test": 0.0}
        self.seconds_before = 0.0  # of training, before this run resumed
        self._resumed_from = ""
        self._began_training: float | None = None
        super().__init__(cfg)

    @classmethod
    def method(cls, cfg: CfgNode) -> Method:
        """Return the trainer's entry in the catalogue under these settings, see `method_of`."""
        return method_of(cls.__name__, cfg)

    @classmethod
    def label(cls, cfg: CfgNode) -> str:
        """Return the method's name in run folders and results."""
        return cls.method(cfg).name

    @property
    def seconds_training(self) -> float:
        """The seconds of training so far."""
        return self.seconds["train"] + (time.time() - self._began_training if self._began_training else 0.0)

    def before_train(self) -> None:
        super().before_train()
        self.seconds["train"] = self.seconds_before = noted_seconds(self._resumed_from) if self.start_epoch else 0.0
        self._began_training = time.time()

    def after_train(self) -> None:
        self.seconds["train"], self._began_training = self.seconds_training, None
        super().after_train()

    def save_model(self, epoch: int, directory: str, *args: Any, **kwargs: Any) -> None:
        note_tasks(directory, self.layout, self.seconds_training, self.images_digest())
        super().save_model(epoch, directory, *args, **kwargs)

    def images_digest(self) -> str:
        """A hash of the images that were drawn for training, validation and tests; empty if there is none."""
        return ""

    def _check_fits(self, directory: str) -> None:
        method = self.method(self.cfg)
        check_compatible(directory, self.cfg, self.section, knobs_of(type(self)))
        check_tied(directory, self.layout, method)

    def _checkpoint_for_resuming(self) -> None:
        """Save this epoch's checkpoint, so that a killed run can resume, and remove the previous one unless
        CHECKPOINT_FREQ keeps it."""
        done, frequency = self.epoch + 1, self.cfg.TRAIN.CHECKPOINT_FREQ
        if done < self.max_epoch and (frequency <= 0 or done % frequency):  # otherwise Dassl has saved it
            with contextlib.redirect_stdout(None):  # one line per epoch would drown the log
                self.save_model(self.epoch, self.output_dir)
        before = done - 1
        if before > 0 and (frequency <= 0 or before % frequency):
            with contextlib.suppress(FileNotFoundError):
                os.remove(Path(self.output_dir) / CHECKPOINTS / f"model.pth.tar-{before}")

    def resume_model_if_exist(self, directory: str) -> int:
        """Resume from the run's own checkpoint if it has one, otherwise from the one in RESUME."""
        own, other = (Path(folder) / CHECKPOINTS / "checkpoint" for folder in (self.output_dir, directory))
        if own.exists():
            check_images(self.output_dir, self.images_digest())
            directory = self.output_dir
        elif self.cfg.RESUME and not other.exists():
            raise InputError(f"There is no checkpoint to resume in {directory}; set --resume to a run's folder.")
        else:
            self._check_fits(directory)
        with one_line(f"The checkpoint in {directory} cannot be resumed", "remove the run's folder to start again"):
            self._resumed_from = directory
            return super().resume_model_if_exist(directory)

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load a trained learner from a run's folder: an epoch's, or the final one (see `checkpoint_of`).

        What CoOp's repository and its kin saved is taken too, see `trainers.engine.saved_prompts`.
        """
        if not directory:
            print("load_model() is skipped: no folder of a trained model is given")
            return
        path = checkpoint_of(directory, epoch)
        if not path.is_file():
            there = sorted(file.name for file in path.parent.glob("model*.pth.tar*"))
            held = f"{path.parent} has {some(there)}" if there else "set --model-dir to a run's folder"
            raise InputError(f"No trained model at {path}; {held} (--load-epoch names an epoch).")
        if path.parent.name == CHECKPOINTS:
            self._check_fits(str(path.parent.parent))
        with one_line(f"Checkpoint {path} cannot be read", "choose another with --load-epoch, or train the run again"):
            state, trained_epochs = self.parameters_in(path)
        try:
            self.model.load_state_dict(state)
        except (KeyError, RuntimeError) as error:
            reason = textwrap.shorten(str(error).partition(":")[2] or str(error), 200, placeholder=" ..")
            raise InputError(f"{path} does not fit this method, collection or backbone: {reason}") from None
        print(f'Loading weights to prompt_learner from "{path}" (epoch = {trained_epochs})')

    def parameters_in(self, path: Path | str) -> tuple[dict[str, Tensor], int | None]:
        """Return a checkpoint's parameters under the learner's own names, and the checkpoint's epoch if it is known."""
        return read_saved(path)

    def start_from(self, path: Path | str) -> None:
        """Take the initial parameters from a checkpoint (MODEL.INIT_WEIGHTS): all whose name and shape fit.

        Raises:
            InputError: the file cannot be read, or nothing in it fits.
        """
        with one_line(f"MODEL.INIT_WEIGHTS cannot be used: {path}", "give a checkpoint of the same method"):
            state, _ = self.parameters_in(path)
        wanted = self.model.state_dict()
        fits = {name: value for name, value in state.items() if name in wanted and value.shape == wanted[name].shape}
        if not fits:
            here = some(wanted) or "nothing to learn"
            raise InputError(
                f"MODEL.INIT_WEIGHTS cannot be used: {path} has {some(state)}, and this method has {here}; give a "
                "checkpoint of the same method."
            )
        if len(fits) < len(wanted):
            notice(f"{path} starts {len(fits)} of {len(wanted)} parameters; the others start anew.")
        self.model.load_state_dict({**wanted, **fits})
        print(f"Initial parameters from {path}")
