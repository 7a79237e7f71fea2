"""What all methods share, given the images' features: the training loop, testing and the report.

A method subclasses `TaskTrainer` or, if it learns prompts, `PromptTrainer`. `build_learner` builds what it learns,
`loss` is what it minimises, and `head` is how it classifies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import count_num_param, set_random_seed
from torch import Tensor, nn
from torch.optim import Optimizer
from yacs.config import CfgNode

from classifier.heads import Head, LinearHead
from common.errors import InputError
from common.notices import notice
from common.paths import CHECKPOINTS
from datasets.images import SeededImages
from prompting.image_precision import name_of
from prompting.losses import within_task
from prompting.pixels import KEYS
from prompting.prompts import check_distinct
from prompting.templates import template_features
from prompting.transfers import on_host, upload
from trainers.engine import residuals
from trainers.engine.calibrating import Temperature, by_task, fitted, some_of, taken_over
from trainers.engine.evaluator import TaskEvaluator, wrong_logit
from trainers.engine.image_trainer import features_by_task, images_of
from trainers.engine.knobs import check_settings
from trainers.engine.settings import plain
from trainers.engine.starting_trainer import StartingTrainer
from trainers.engine.tasks_of_batch import rows_of_tasks

EXAMPLES = 3  # wrongly classified test images per class that results.json names


class TaskTrainer(StartingTrainer):
    """Trains a learner on the tasks of a collection, with a frozen CLIP.

    Subclasses set ``section`` and ``KNOBS`` and implement `build_learner`, `loss` and `head`.

    tested_head: the head of the last test; None before, and for a method that overrides `classifier` instead.
    trained_temperatures: those of the run whose checkpoint is evaluated, by task; empty to fit new ones.
    """

    tested_head: Head | None = None
    residual: residuals.Fitted | None = None  # of the images, see RESIDUAL.FIT
    trained_in: Path | None = None  # the folder of the run whose checkpoint is evaluated

    def __init__(self, cfg: CfgNode):
        super().__init__(cfg)
        self.evaluator = TaskEvaluator(cfg, self.layout)
        self.trained_temperatures: dict[str, Temperature] = {}
        self._temperatures = [Temperature(1.0, "not fitted")] * len(self.layout)

    # -- building --

    def check_cfg(self, cfg: CfgNode) -> None:
        check_settings(cfg, type(self))
        if cfg.RESIDUAL.FIT and not self.carries_residual(cfg):
            raise InputError(
                f"{self.label(cfg)} does not compare images with a feature of each class, which a residual is added "
                f"to; omit {residuals.FIT}."
            )
        if cfg.RESIDUAL.FIT and cfg.TEST.NO_TEST:
            raise InputError(
                "A residual is fitted when the run is tested, and kept in its classifier; omit TEST.NO_TEST."
            )

    @classmethod
    def carries_residual(cls, cfg: CfgNode) -> bool:
        """Return whether `head` is a `LinearHead` of class features, to which RESIDUAL.FIT can add a residual."""
        return False

    def build_model(self) -> None:
        cfg = self.cfg
        for task in self.layout.tasks:
            if not self.tower.text.vocabulary.of_clip:  # which is known when names are read
                check_distinct(self.tower.text.vocabulary, task.classnames, task.name)
        self.task_of_class = self.layout.task_of_class.to(self.device)
        self.model = self.build_learner().to(self.device)
        if cfg.MODEL.INIT_WEIGHTS:
            self.start_from(cfg.MODEL.INIT_WEIGHTS)
        if cfg.MODEL.FROM:
            self.start_by_name(Path(cfg.MODEL.FROM))
        print(f"# params: {count_num_param(self.model):,}")
        self.optim, self.sched = self.make_optimizer() if count_num_param(self.model) else (None, None)
        self.register_model(CHECKPOINTS, self.model, self.optim, self.sched)

    def make_optimizer(self) -> tuple[Optimizer | None, Any]:
        """Build the optimiser and its learning-rate schedule; (None, None) if nothing is trained in steps."""
        optimizer = build_optimizer(self.model, self.cfg.OPTIM)
        return optimizer, build_lr_scheduler(optimizer, self.cfg.OPTIM)

    def build_learner(self) -> nn.Module:
        """Build what the method learns; ``self.tower``, ``self.layout`` and ``self.knobs`` are set.

        Only its parameters are trained, saved and counted.
        """
        raise NotImplementedError

    @cached_property
    def handwritten_features(self) -> Tensor:
        """The text features of the tasks' templates, (n_classes, feature_dim) float32 of unit norm."""
        return template_features(self.tower.text, self.layout)

    # -- the forward pass --

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """exp(logit_scale) x cosine: (batch, d), (n, d) of unit norm -> (batch, n) (paper, prediction probability)."""
        return self.tower.logit_scale * image_features @ text_features.t()

    def task_of(self, label: Tensor) -> Tensor:
        """(batch,) flat class indices -> (batch,) tasks, on the device."""
        return upload(self.layout.task_of_class[on_host(label)], self.device)

    def task_by_task(self, image_features: Tensor, task: Tensor, logits_of: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Compute (batch, classes) logits over all classes, for the images of one task at a time.

        ``logits_of(task, features of its images)`` returns (images, the task's classes); all other logits are -inf.
        """

        def placed(index: int, part: Tensor) -> Tensor:
            classes = self.layout.classes_of(index)
            return F.pad(part, (classes.start, self.layout.n_classes - classes.stop), value=float("-inf"))

        rows = rows_of_tasks(task)
        if len(rows) == 1:  # as in batches of one task
            (index,) = rows
            return placed(index, logits_of(index, image_features))
        parts = [placed(index, logits_of(index, image_features[mine])) for index, mine in rows.items()]
        return torch.cat(parts)[torch.cat(list(rows.values())).argsort()]

    def head(self) -> Head:
        """Return how the method classifies, with what it learned so far; a run leaves it in its folder.

        What images share, such as text features, is computed once, here.
        """
        raise NotImplementedError

    @property
    def trained_tasks(self) -> tuple[str, ...]:
        """The names of the tasks that learned parameters belong to; none if they are all tasks'."""
        tied = self.method(self.cfg).tied_to
        return () if tied == "nothing" else tuple(task.name for task in self.layout.tasks)

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function for testing: (batch, d) image features, (batch,) tasks -> (batch, classes) logits.

        It applies `head`. Logits of other tasks' classes are ignored. A method that overrides it can be trained and
        tested, but its runs leave no classifier.
        """
        if self.residual is None:
            head = self.head()
        else:
            head = LinearHead(self.layout, self.residual.weight, self.tower.logit_scale, text=self.residual.text)
        self.tested_head = head.eval()
        if isinstance(head, LinearHead):
            return lambda image_features, task: head.flat(image_features)
        return lambda image_features, task: self.task_by_task(image_features, task, lambda t, x: head.logits(x, t))

    def add_residual(self) -> None:
        """Set ``residual`` for the model as it is now: fitted to the shots, or that of the run which is evaluated."""
        began, head = time.time(), self.head()
        assert isinstance(head, LinearHead)
        if self.trained_in is None:
            self.fit_residual(head)
            self.seconds["train"] += time.time() - began
        else:
            self.residual = residuals.rows_in(self.trained_in, self.layout, head.weight)

    @torch.no_grad()
    def fit_residual(self, head: LinearHead | None = None) -> None:
        """Set ``residual`` to what suits the shots; see `prompting.residual`."""
        learned = self.handwritten_features if head is None else head.weight
        shots, scale = features_by_task(self, "train"), self.tower.logit_scale
        self.residual = residuals.fitted(
            self.layout, shots, self.handwritten_features, learned.float(), scale, self.cfg.RESIDUAL.C
        )
        print("\n".join(residuals.lines(self.layout, self.residual)))

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch's loss, its within-task logits (batch, n) and each image's true column of these."""
        raise NotImplementedError

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, float]:
        label = upload(batch["label"], self.device)
        task = self.task_of(label)
        loss, logits, column = self.loss(self.image_features(batch), label, task)
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            for _ in range(self.cfg.OPTIM.STEPS_PER_EPOCH):
                self.update_lr()
        # The only values of a step that the host reads, together: each reading waits for the device.
        figures = [compute_accuracy(logits.detach(), column)[0], *(x.detach().view(1) for x in self.losses(loss))]
        accuracy, self.last_loss, *others = torch.cat([figure.float() for figure in figures]).tolist()
        if not all(map(math.isfinite, (self.last_loss, *others))):
            self.refuse_loss()
        return {"loss": self.last_loss, "acc": accuracy}

    def model_update(self, names: str | list[str] | None = None) -> None:
        for _ in range(self.cfg.OPTIM.STEPS_PER_BATCH):
            super().model_update(names)

    def losses(self, loss: Tensor) -> list[Tensor]:
        """Return the batch's loss, and others that must be finite too."""
        return [loss]

    def detect_anomaly(self, loss: Tensor) -> None:
        """Leave it to `forward_backward`, which checks the loss when it reads it; the update before is never saved."""

    # -- training and testing --

    def evaluates(self, record: Mapping[str, Any]) -> None:
        """Take what a checkpoint does not hold from the results of the run whose checkpoint is evaluated.

        Most methods need nothing. ``record`` is the run's results.json, or empty if the run is not finished.
        """

    def train_at_once(self, fit: Callable[[], None]) -> None:
        """Train without epochs: call ``fit``, save the learner as the checkpoint of epoch 1, and test."""
        self.refuse_test_only()
        self.open_images()
        began = time.time()
        with torch.no_grad():
            fit()
        self.seconds["train"] += time.time() - began
        self.save_model(0, self.output_dir)
        if not self.cfg.TEST.NO_TEST:
            self.test()

    def before_train(self) -> None:
        self.refuse_test_only()
        test = self.cfg.TEST
        if test.FINAL_MODEL == "best_val" and not test.NO_TEST and self.val_loader is None:
            raise InputError(
                f"TEST.FINAL_MODEL best_val needs validation images, and {self.cfg.DATASET.NAME} has none; set it to "
                "last_step."
            )
        super().before_train()
        self.open_images()
        if self.start_epoch < self.max_epoch:
            if self.cfg.BANK.TRAIN and self.cfg.SEED >= 0:
                self._encode_views_ahead()
            if isinstance(self.train_loader_x.dataset, SeededImages):  # they are decoded at every step
                self.features.decode_once(images_of(self.train_loader_x), self.watch.encoding)

    def before_epoch(self) -> None:
        # An epoch's random draws depend on (seed, epoch) only, so a resumed run equals an uninterrupted one.
        if self.cfg.SEED >= 0:
            set_random_seed((self.cfg.SEED * 1_000_003 + self.epoch) % (1 << 32))
        loader: Any = self.train_loader_x
        loader.dataset.epoch = loader.batch_sampler.epoch = self.epoch

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        super().write_scalar(tag, scalar_value, global_step)
        self.watch.scalar(tag, scalar_value, global_step)

    def after_epoch(self) -> None:
        super().after_epoch()
        self._checkpoint_for_resuming()
        self.watch.epoch(self.epoch + 1, self.max_epoch, self.last_loss)

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate on a split, and return the mean accuracy over tasks, in percent."""
        self.set_model_mode("eval")
        chooses = split == "val"  # among epochs
        if self.cfg.RESIDUAL.FIT and self.residual is None and not chooses:
            self.add_residual()
        began = time.time()
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        if split != "val" or self.val_loader is None:
            split = "test"
        print(f"Evaluate on the *{split}* set")
        classify = self.classifier()
        if not chooses:
            self._calibrate(classify)
        loader = self.val_loader if split == "val" else self.test_loader
        assert loader is not None
        self._tested = images_of(loader)
        done = 0
        for image_features, label in () if self.untested else self.test_batches(loader):
            task = self.task_of(label)
            logits = within_task(classify(image_features, task), task, self.task_of_class)
            place = wrong_logit(logits, task, self.task_of_class)
            if place is not None:
                raise self._no_result(done + place[0], place[1], float(logits[place]))
            self.evaluator.process(logits, label)
            done += len(label)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        self.seconds["test"] += time.time() - began
        return next(iter(results.values()))

    def _calibrate(self, classify: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Set the tasks' temperatures: those of the run that is evaluated, or else from the validation images.

        It ends no run: where that is not possible, temperatures are 1 and the record says why.
        """
        self._temperatures = self._fitted(classify)
        self.evaluator.temperatures = torch.tensor([temperature.value for temperature in self._temperatures])

    def _fitted(self, classify: Callable[[Tensor, Tensor], Tensor]) -> list[Temperature]:
        if self.trained_temperatures:
            return taken_over(self.trained_temperatures, self.layout)
        try:
            loader = self.val_loader
            batches = () if loader is None else self.test_batches(some_of(loader))
            logits = ((classify(features, self.task_of(label)), label) for features, label in batches)
            return fitted(by_task(logits, self.layout), self.layout)
        except (InputError, ValueError) as error:  # such as a validation image that cannot be read
            notice(f"Confidences are not calibrated: {error}")
            return [Temperature(1.0, str(error))] * len(self.layout)

    def _no_result(self, number: int, column: int, logit: float) -> InputError:
        image, name = self._tested.name_of(self._tested.data_source[number]), self.layout.classnames[column]
        fix = "use another tower, or train with a lower OPTIM.LR"
        if self.tower.dtype == torch.float16:
            fix = f"set TRAINER.{self.section}.PREC bf16 or fp32"
        return InputError(f"The logit of {image} and class '{name}' is {logit}, so the run has no result; {fix}.")

    # -- the report --

    def contexts_learned(self) -> dict[str, Any] | None:
        """Return the entry "contexts" of results.json, a summary of the learned contexts; None for most methods."""
        return None

    def report(self) -> dict[str, Any]:
        """Return the figures of a finished run, from the last evaluation."""
        data = self.dm.dataset
        tasks = self.evaluator.per_task()
        for task, mistakes in zip(tasks, self.evaluator.mistakes(EXAMPLES), strict=True):
            images = [self._tested.name_of(self._tested.data_source[row.pop("number")]) for row in mistakes]
            task["examples"] = [{"image": image, **row} for image, row in zip(images, mistakes, strict=True)]
        mean = sum(task["accuracy"] for task in tasks) / len(tasks)
        if not math.isfinite(mean) and not self.untested:
            raise InputError("A task has no test images; check the data set's test split.")
        for task, temperature, errors in zip(tasks, self._temperatures, self.evaluator.calibration(), strict=True):
            task |= {"temperature": temperature.value, "temperature_from": temperature.source}
            task |= dict(zip(("ece", "ece_uncalibrated"), errors, strict=True))
        figures = {"mean": mean}
        figures |= {key: sum(task[key] for task in tasks) / len(tasks) for key in ("ece", "ece_uncalibrated")}
        if self.untested:
            figures, *tasks = ({key: _measured(value) for key, value in part.items()} for part in (figures, *tasks))
        return {
            "tasks": tasks,
            **figures,
            "contexts": self.contexts_learned(),
            **({} if self.residual is None else {"residual": self.residual.recorded(self.layout)}),
            "counts": {
                "trainable_parameters": count_num_param(self.model)
                + (0 if self.residual is None else self.residual.weight.numel()),
                "tasks": len(self.layout),
                "classes": self.layout.n_classes,
                "train_images": len(data.train_x),
                "val_images": len(data.val or []),
                "test_images": len(data.test),
            },
            "tower": {
                "activation": self.tower.activation,
                "activation_from": self.tower.activation_source,
                "pixels": asdict(self.tower.preprocessing),
                "shown": {key: plain(self.cfg.INPUT[key]) for key in KEYS},
                "text": self.tower.text.path,
                "image_dtype": name_of(self.tower.image_dtype),
            },
            "images": self.images_digest(),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "resumed_from_epoch": self.start_epoch,
            **({"from": self.started_from} if self.started_from else {}),
        }


def _measured(value: Any) -> Any:
    """A figure of a record, None instead of NaN, which JSON does not have."""
    return None if isinstance(value, float) and math.isnan(value) else value
