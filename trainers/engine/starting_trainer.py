"""A trainer whose initial parameters may come from another run or a classifier: MODEL.FROM.

What is taken, and how it is told in words, is in `trainers.engine.starting`.
"""

from __future__ import annotations

from pathlib import Path

from dassl.utils import count_num_param

from classifier.bundle import Bundle, used
from classifier.questions import Questions
from common.catalogue import METHODS, with_residual
from common.checkpoints import checkpoint_of
from common.errors import InputError
from common.notices import notice
from trainers.engine.checkpoint_fit import check_compatible, noted_images, noted_tasks
from trainers.engine.checkpoint_state import check_finite
from trainers.engine.image_trainer import ImageTrainer
from trainers.engine.knobs import knobs_of
from trainers.engine.resuming_trainer import reading
from trainers.engine.starting import Learned, bundle_in, check_tower, learned_in, taken


class StartingTrainer(ImageTrainer):
    """Starts from what another run learned, by the names of tasks and classes."""

    started_from = ""  # a line on what was taken

    def start_by_name(self, folder: Path) -> None:
        """Take the initial parameters from another run or a classifier, by the names of tasks and classes: MODEL.FROM.

        Raises:
            InputError: it is another method's or another tower's, it was trained on images that are tested now, or
                what all tasks share does not fit.
        """
        cfg, label = self.cfg, self.label(self.cfg)
        wanted = self.model.state_dict()
        if not self.trained_in_steps():
            raise InputError(f"MODEL.FROM: {label} is not trained in steps, so there is nothing that it starts from.")
        if cfg.MODEL.INIT_WEIGHTS:
            raise InputError("MODEL.FROM and MODEL.INIT_WEIGHTS do not go together; give one of them.")
        try:
            source = self._learned_in(folder)
            self.check_tests(source.images, "it")
            now = [(task.name, task.classnames) for task in self.layout.tasks]
            rows, fresh = getattr(self.model, "rows", {}), getattr(self.model, "fresh", ())
            found = taken(source.state, wanted, source.tasks, now, self.method(cfg).tied_to, rows, fresh)
            if not found.state:
                raise InputError("it has none of these tasks")
        except InputError as error:
            raise InputError(f"MODEL.FROM: {folder} cannot be used: {str(error).rstrip('.')}.") from None
        self.model.load_state_dict({**wanted, **found.state})
        shared = getattr(self.model, "shared_words", "what all tasks share")
        self.started_from = found.line(folder, shared, source.tasks, now)
        if not source.images:
            self.started_from += (
                "; not checked: whether it was trained on images of this test, as it does not record them"
            )
        notice(self.started_from)

    def _learned_in(self, folder: Path) -> Learned:
        """Return what a run's folder or a classifier holds; InputError if it does not fit."""
        bundle = bundle_in(folder)
        return self._learned_in_run(folder) if bundle is None else self._learned_in_bundle(bundle)

    def _learned_in_run(self, folder: Path) -> Learned:
        path = checkpoint_of(folder)
        check_compatible(folder, self.cfg, self.section, knobs_of(type(self)))
        before = noted_tasks(folder)
        if before is None:
            raise InputError("it does not record its tasks; train it again")
        with reading(f"{path} cannot be read", "train it again"):
            saved, _ = self.parameters_in(path)
            check_finite(saved.items(), str(path), "train it again")
        return Learned(saved, before, noted_images(folder))

    def _learned_in_bundle(self, bundle: Bundle) -> Learned:
        of = METHODS.get(bundle.method)
        # A residual is fitted when training has ended, so prompts with and without one start from each other.
        alike = of is not None and with_residual(of) == with_residual(self.method(self.cfg))
        if bundle.method != self.label(self.cfg) and not alike:
            raise InputError(f"it is of {bundle.method}, and this is {self.label(self.cfg)}")
        check_tower(bundle.tower, used(self.tower, self.knobs.PREC, needs_text=True, data_root=""))
        return learned_in(bundle, self.cfg.SEED, self.tower.text, self.questions())

    def trained_in_steps(self) -> bool:
        """Return whether what is learned starts from initial values; False if it is computed at once."""
        return count_num_param(self.model) > 0

    def questions(self) -> Questions | None:
        """Return what writes the prompts of classes that were not trained on; a run leaves it in its folder.

        None if the method cannot: its parameters belong to classes.
        """
        return None
