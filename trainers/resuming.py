"""A Dassl trainer that can be killed: keeps the newest epoch's checkpoint, goes on from it, and says in one line what
is wrong with one that it cannot use."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

from dassl.engine import TrainerX
from dassl.utils import load_checkpoint

from prompting.errors import InputError
from trainers.transfer import check_tied, note_tasks


@contextlib.contextmanager
def one_line(what: str, remedy: str):
    """Turn whatever a checkpoint's reader raises into an InputError that says what failed and what to do."""
    try:
        yield
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{what} ({' '.join(str(error).split()) or type(error).__name__}); {remedy}.") from None


def checkpoint_of(directory: Path | str, epoch: int | None = None) -> Path:
    """The checkpoint of an epoch in a run's folder; without one, that which the run ended with: the best on validation
    if it kept that, or else the newest. It need not exist."""
    folder = Path(directory) / "prompt_learner"
    if epoch is not None:
        return folder / f"model.pth.tar-{epoch}"
    best = folder / "model-best.pth.tar"
    try:
        return best if best.exists() else folder / (folder / "checkpoint").read_text(encoding="utf-8").strip()
    except OSError:
        return best


class ResumingTrainer(TrainerX):
    """Saves after every epoch and resumes by itself. The only model is called "prompt_learner", as in CoOp.

    Subclasses have a ``layout``, a ``label`` and say by ``tied_to`` whether a checkpoint is of use for another.
    """

    def save_model(self, epoch, directory, *args, **kwargs):
        note_tasks(directory, self.layout)
        super().save_model(epoch, directory, *args, **kwargs)

    def _check_tied(self, directory) -> None:
        check_tied(directory, self.layout, self.tied_to(self.cfg), self.label(self.cfg))

    def _checkpoint_for_resuming(self) -> None:
        """Keep the newest epoch's checkpoint, which a killed run goes on from, and those that CHECKPOINT_FREQ names."""
        done, frequency = self.epoch + 1, self.cfg.TRAIN.CHECKPOINT_FREQ
        if done < self.max_epoch and (frequency <= 0 or done % frequency):  # else Dassl has saved it
            with contextlib.redirect_stdout(None):  # one line an epoch would drown the log
                self.save_model(self.epoch, self.output_dir)
        before = done - 1
        if before > 0 and (frequency <= 0 or before % frequency):
            with contextlib.suppress(FileNotFoundError):
                os.remove(Path(self.output_dir) / "prompt_learner" / f"model.pth.tar-{before}")

    def resume_model_if_exist(self, directory):
        """Go on from the run's own checkpoint if it has one, otherwise from the one that RESUME names."""
        own, other = (Path(folder) / "prompt_learner" / "checkpoint" for folder in (self.output_dir, directory))
        if own.exists():
            directory = self.output_dir
        elif self.cfg.RESUME and not other.exists():
            raise InputError(f"There is no checkpoint to resume in {directory}; --resume must name a run's folder.")
        else:
            self._check_tied(directory)
        with one_line(f"The checkpoint in {directory} cannot be resumed", "remove that folder to start anew"):
            return super().resume_model_if_exist(directory)

    def load_model(self, directory, epoch=None):
        """Load a trained learner from a run folder: the given epoch's, or what the run ended with."""
        if not directory:
            print("Note that load_model() is skipped as no pretrained model is given")
            return
        path = str(checkpoint_of(directory, epoch))
        if not os.path.exists(path):
            raise InputError(
                f"No trained model at {path}; give the run folder with --model-dir and one of its epochs "
                "with --load-epoch."
            )
        self._check_tied(directory)
        with one_line(f"Checkpoint {path} cannot be read", "name another with --load-epoch"):
            checkpoint = load_checkpoint(path)
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except (KeyError, RuntimeError) as error:
            raise InputError(
                f"{path} does not fit this method, collection or backbone: {' '.join(str(error).split())}"
            ) from None
        print(f'Loading weights to prompt_learner from "{path}" (epoch = {checkpoint["epoch"]})')
