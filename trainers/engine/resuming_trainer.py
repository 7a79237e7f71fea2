"""A Dassl trainer that survives being killed: it keeps the newest epoch's checkpoint and resumes from it.

A checkpoint that cannot be used is reported in one line. Its checksums are in the file itself, one for each of its
parts: PyTorch writes them and the toolbox compares them. So a run can be killed at any moment: there is no second file
that a checkpoint would have to agree with. What the run's record says of its tasks and images holds for all its epochs.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dassl.engine import TrainerX
from torch import Tensor, nn
from yacs.config import CfgNode

from common.catalogue import Method
from common.checkpoints import BEST, POINTER, checkpoint_of
from common.errors import InputError, of_system
from common.files import is_regular
from common.knobs import Knob
from common.notices import notice
from common.paths import CHECKPOINTS
from common.text import one_line, some
from prompting.tasks import TaskLayout
from trainers.engine.checkpoint_fit import (
    Parts,
    check_compatible,
    check_images,
    check_tied,
    check_tower,
    hash_of,
    note_tasks,
    noted_images,
    noted_seconds,
)
from trainers.engine.checkpoint_state import (
    check_best,
    check_epoch,
    check_finite,
    check_training_state,
    position_of,
)
from trainers.engine.knobs import knobs_of, method_of
from trainers.engine.saved_prompts import read_saved

UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


@contextlib.contextmanager
def reading(failure: str, remedy: str) -> Iterator[None]:
    """Turn errors of reading a checkpoint into an InputError of one line: what failed and what to do."""
    try:
        yield
    except UNREADABLE as error:
        reason = one_line(error) or type(error).__name__
        if reason.startswith("Checkpoint "):  # our toolbox's message, which names the file and ends with its own advice
            raise InputError(f"{reason.rpartition('; ')[0] or reason}; {remedy}.") from None
        raise InputError(f"{failure} ({reason}); {remedy}.") from None


@contextlib.contextmanager
def on_disk(place: str) -> Iterator[None]:
    """Turn an error of writing below ``place`` into an InputError of one line."""
    try:
        yield
    except BrokenPipeError:  # nobody reads what is printed
        raise
    except OSError as error:
        raise of_system(OSError(error.errno, error.strerror), place) from None


def _checkpoints_in(directory: Path | str) -> list[Path]:
    """Return the checkpoints in a run's folder, in any order."""
    return list((Path(directory) / CHECKPOINTS).glob("model*.pth.tar*"))


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
        with on_disk(self.output_dir):
            super().before_train()
        self.seconds["train"] = self.seconds_before = noted_seconds(self._resumed_from) if self.start_epoch else 0.0
        self._began_training = time.time()

    def after_train(self) -> None:
        self.seconds["train"], self._began_training = self.seconds_training, None
        with on_disk(self.output_dir):
            super().after_train()

    def save_model(self, epoch: int, directory: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint; InputError if what was learned is not finite, or there is no space left.

        Checking takes a fifteenth of the time of writing: 7 ms for the 8.4 million parameters of SoftCPT.
        """
        learned = f"What {self.label(self.cfg)} learned in epoch {epoch + 1}"
        check_finite(
            self.model.state_dict().items(), learned, f"lower OPTIM.LR, or set TRAINER.{self.section}.PREC fp32"
        )
        with on_disk(directory):
            note_tasks(directory, self.layout, self.seconds_training, self.drawn_images(), self.trained_images())
            super().save_model(epoch, directory, *args, **kwargs)

    def drawn_images(self) -> Parts:
        """Return the images that were drawn for training, validation and tests; empty if that is not known."""
        return {}

    def trained_images(self) -> Sequence[str]:
        """Return the `image_hashes` of the training images; empty if they are not known."""
        return ()

    def check_tests(self, trained: Sequence[str], what: str) -> None:
        """Raise InputError if ``what``, such as "The checkpoint in ...", was trained on images that are tested now.

        ``trained`` are the `image_hashes` of its training images; without any, nothing is compared.
        """

    def images_digest(self) -> str:
        """Return a hash of the images that were drawn: names, labels and contents."""
        return hash_of(self.drawn_images())

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
            with on_disk(self.output_dir), contextlib.suppress(FileNotFoundError):
                os.remove(Path(self.output_dir) / CHECKPOINTS / f"model.pth.tar-{before}")

    def resume_model_if_exist(self, directory: str) -> int:
        """Resume from the run's own checkpoint if it has one, otherwise from the one in RESUME.

        Raises:
            InputError: the checkpoint is damaged, was trained on other images, or cannot be a run's.
        """
        own = bool(_checkpoints_in(self.output_dir))
        directory = self.output_dir if own else directory
        if own:
            remedy = "--redo starts it again, or remove the run's folder"
            self._remove_leftovers()
        else:
            remedy = "name another run with --resume, or set MODEL.INIT_WEIGHTS to train its parameters further"
            if self.cfg.RESUME and not _checkpoints_in(directory):
                raise InputError(f"There is no checkpoint to resume in {directory}; set --resume to a run's folder.")
            self._check_fits(directory)
        if _checkpoints_in(directory):
            check_images(directory, self.drawn_images(), remedy)
        where = f"The checkpoint in {directory}"
        began = position_of(self.sched)
        with reading(f"{where} cannot be resumed", remedy):
            self._resumed_from = directory
            epoch = super().resume_model_if_exist(directory)
            if not _checkpoints_in(directory):
                return epoch
            check_epoch(epoch, self.max_epoch, where, remedy)
            check_finite(self.model.state_dict().items(), where, remedy)
            if self.optim is not None:
                position = began + epoch * self.cfg.OPTIM.STEPS_PER_EPOCH
                check_training_state(self.optim, self.sched, position, where, remedy)
            best = Path(directory) / CHECKPOINTS / BEST
            chosen = self.cfg.TEST.FINAL_MODEL == "best_val" and not self.cfg.TEST.NO_TEST  # Dassl tests to choose
            if chosen and (own or best.exists()):
                if not is_regular(best):
                    raise InputError(f"{best} is missing, the best model so far; {remedy}.")
                check_best(best, remedy)
        return epoch

    def _remove_leftovers(self) -> None:
        """Remove the unfinished checkpoints of killed processes. The run's lock is held, so nobody is writing one."""
        for path in (Path(self.output_dir) / CHECKPOINTS).glob(".*.part"):
            if path.name.startswith((".model", f".{POINTER}.")):
                with contextlib.suppress(OSError):
                    path.unlink()

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        with on_disk(self.output_dir):
            super().write_scalar(tag, scalar_value, global_step)

    def refuse_loss(self) -> NoReturn:
        """Raise InputError for a batch's loss that is not finite."""
        raise InputError(
            f"The loss is not finite in epoch {self.epoch + 1}, batch {self.batch_idx + 1}; lower OPTIM.LR, or set "
            f"TRAINER.{self.section}.PREC fp32."
        )

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load a trained learner from a run's folder: an epoch's, or the final one (see `checkpoint_of`).

        What CoOp's repository and its kin saved is taken too, see `trainers.engine.saved_prompts`.
        """
        if not directory:
            print("load_model() is skipped: no folder of a trained model is given")
            return
        path = checkpoint_of(directory, epoch)
        if not is_regular(path):
            there = sorted(file.name for file in path.parent.glob("model*.pth.tar*"))
            held = f"{path.parent} has {some(there)}" if there else "set --model-dir to a run's folder"
            raise InputError(f"No trained model at {path}; {held} (--load-epoch names an epoch).")
        if path.parent.name == CHECKPOINTS:
            self._check_fits(str(path.parent.parent))
            self.check_tests(noted_images(path.parent.parent), f"The checkpoint in {path.parent.parent}")
        with reading(f"Checkpoint {path} cannot be read", "choose another with --load-epoch, or train the run again"):
            state, trained_epochs = self.parameters_in(path)
            check_finite(
                state.items(), f"Checkpoint {path}", "choose another with --load-epoch, or train the run again"
            )
        try:
            self.model.load_state_dict(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = textwrap.shorten(str(error).partition(":")[2] or str(error), 200, placeholder=" ..")
            raise InputError(f"{path} does not fit this method, collection or backbone: {reason}") from None
        print(f'Loading weights to prompt_learner from "{path}" (epoch = {trained_epochs})')

    def parameters_in(self, path: Path | str) -> tuple[dict[str, Tensor], int | None]:
        """Return a checkpoint's parameters under the learner's own names, and the checkpoint's epoch if it is known."""
        return read_saved(path)

    def start_from(self, path: Path | str) -> None:
        """Take the initial parameters, all whose name and shape fit, from a checkpoint or a run's folder: that is
        MODEL.INIT_WEIGHTS.

        Raises:
            InputError: the file cannot be read, nothing in it fits, or it is a run's with another tower.
        """
        path, remedy = checkpoint_of(path), "give a checkpoint of the same method"
        if not is_regular(path):
            raise InputError(f"MODEL.INIT_WEIGHTS cannot be used: there is no checkpoint at {path}; {remedy}.")
        if path.parent.name == CHECKPOINTS:
            check_tower(path.parent.parent, self.cfg)
        with reading(f"MODEL.INIT_WEIGHTS cannot be used: {path}", remedy):
            state, _ = self.parameters_in(path)
            check_finite(state.items(), f"Checkpoint {path}", remedy)
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
        with reading(f"MODEL.INIT_WEIGHTS cannot be used: {path}", remedy):
            self.model.load_state_dict({**wanted, **fits})
        print(f"Initial parameters from {path}")
