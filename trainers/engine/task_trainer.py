"""What all methods share: data, the frozen tower, image features, the training loop, testing and the report.

A method subclasses `TaskTrainer` or, if it learns prompts, `PromptTrainer`. `build_learner` builds what it learns,
`loss` is what it minimises, and `classifier` is how it classifies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from dassl.data import DataManager
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import count_num_param, set_random_seed
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Sampler
from yacs.config import CfgNode

from common.errors import InputError
from common.paths import BANK, CHECKPOINTS, OUTPUT, REPOSITORY
from datasets.collection import layout_of
from datasets.images import Labels, SeededImages, data_root, not_augmented
from prompting.feature_bank import FeatureBank
from prompting.image_precision import choose_image_dtype, name_of
from prompting.losses import unit, within_task
from prompting.pixels import KEYS, check_pixels, from_tower
from prompting.prompts import check_distinct
from prompting.templates import template_features
from prompting.text_memory import TextMemory
from prompting.towers import Tower, load_tower
from prompting.transfers import on_host, upload
from trainers.engine.batches import OneTaskBatches
from trainers.engine.checkpoint_fit import Parts, check_not_trained_on, drawn, image_hashes
from trainers.engine.evaluator import TaskEvaluator, wrong_logit
from trainers.engine.image_features import ImageFeatures
from trainers.engine.knobs import check_settings
from trainers.engine.resuming_trainer import ResumingTrainer
from trainers.engine.settings import plain
from trainers.engine.tasks_of_batch import rows_of_tasks
from trainers.engine.views import as_tested
from trainers.engine.watch import Watch

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32, "auto": torch.float16}
EXAMPLES = 3  # wrongly classified test images per class that results.json names
TEST_ROWS = 4096  # test images per batch when their features come from the bank


def search_folders(cfg: CfgNode) -> tuple[Path, ...]:
    """Return the folders to search for a relative checkpoint path, after the working directory."""
    return REPOSITORY, data_root(cfg)


def bank_folder(cfg: CfgNode) -> Path:
    """Return the folder of the stored features."""
    return Path(cfg.BANK.DIR or OUTPUT / BANK)


def images_of(loader: DataLoader) -> SeededImages:
    """Return the data set of a loader, which `TaskTrainer.build_data_loader` built."""
    return cast(SeededImages, loader.dataset)


class TaskTrainer(ResumingTrainer):
    """Trains a learner on the tasks of a collection, with a frozen CLIP.

    Subclasses set ``section`` and ``KNOBS`` and implement `build_learner`, `loss` and `classifier`.
    """

    def __init__(self, cfg: CfgNode):
        self.watch = Watch()
        super().__init__(cfg)
        self.evaluator = TaskEvaluator(cfg, self.layout)

    # -- what a method declares about itself; class methods, since some of it depends on the config --

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        """Return whether every batch comes from a single task, as if each task were trained on its own."""
        return False

    @classmethod
    def uses_bank(cls, cfg: CfgNode) -> bool:
        """Return False if the method needs more than an image's feature; images are then encoded in every step."""
        return True

    @classmethod
    def raw_features(cls, cfg: CfgNode) -> bool:
        """Return whether features of images that are not augmented stay as the tower computes them, not normalised."""
        return False

    @property
    def knobs(self) -> CfgNode:
        """The method's own config section."""
        return self.cfg.TRAINER[self.section]

    # -- building --

    def check_cfg(self, cfg: CfgNode) -> None:
        check_settings(cfg, type(self))

    def build_data_loader(self) -> None:
        self.tower = self.load_tower()
        self.cfg = self.with_pixels_of(self.tower)
        mode = self.tower.preprocessing.resize_mode
        # Without augmentation, training images are preprocessed like test images. Dassl would squash them to a square.
        still = not_augmented(self.cfg)
        tested = as_tested(self.cfg, mode) if still or mode != "shortest" else None
        dm = DataManager(
            self.cfg,
            custom_tfm_train=tested if still else None,
            custom_tfm_test=tested if mode != "shortest" else None,
            dataset_wrapper=SeededImages,
        )
        self.dm, self.layout = dm, layout_of(dm.dataset)
        self.train_loader_x, self.train_loader_u = dm.train_loader_x, dm.train_loader_u
        self.val_loader, self.test_loader = dm.val_loader, dm.test_loader
        self.num_classes, self.num_source_domains, self.lab2cname = dm.num_classes, dm.num_source_domains, dm.lab2cname
        plain = self.train_loader_x
        batches = self.batches(plain, [item.domain for item in dm.dataset.train_x])
        if batches is not None:
            self.train_loader_x = DataLoader(
                plain.dataset, batch_sampler=batches, num_workers=plain.num_workers, pin_memory=plain.pin_memory
            )

    def batches(self, plain: DataLoader, tasks: list[int]) -> Sampler[list[int]] | None:
        """Return a batch sampler over images of ``tasks``; None to use Dassl's ``plain`` loader itself.

        Its attribute ``epoch`` is set before every epoch. It must draw from PyTorch's global generator only.
        """
        separate = self.one_task_batches(self.cfg) and len(self.layout) > 1
        return OneTaskBatches(tasks, self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE) if separate else None

    def load_tower(self) -> Tower:
        """Load the frozen tower that the settings name."""
        name = self.cfg.MODEL.BACKBONE.NAME
        print(f"Loading CLIP (backbone: {name})")
        dtype = PRECISIONS[self.knobs.PREC]
        if dtype == torch.float16 and self.device.type == "cpu":
            dtype = torch.float32  # CPUs have no fast float16
        tower = load_tower(name, self.device, dtype, search=search_folders(self.cfg))
        tower.text.memory = TextMemory(int(self.cfg.MODEL.TEXT_MEMORY_GB * (1 << 30)))
        if self.knobs.PREC == "auto":
            choose_image_dtype(tower, bank_folder(self.cfg), self.uses_bank(self.cfg))
        return tower

    def with_pixels_of(self, tower: Tower) -> CfgNode:
        """Return the settings with INPUT as the tower was trained to see, except what is given (INPUT.GIVEN)."""
        cfg, given = self.cfg.clone(), self.cfg.INPUT.GIVEN.split("+")
        cfg.defrost()
        for key, value in from_tower(tower.preprocessing, given).items():
            cfg.INPUT[key] = value
        cfg.freeze()
        check_pixels(tower.name, tower.preprocessing, cfg.INPUT, given)
        return cfg

    def build_model(self) -> None:
        cfg = self.cfg
        for task in self.layout.tasks:
            if not self.tower.text.vocabulary.of_clip:  # which is known when names are read
                check_distinct(self.tower.text.vocabulary, task.classnames, task.name)
        self.task_of_class = self.layout.task_of_class.to(self.device)
        bank = FeatureBank(bank_folder(cfg), int(cfg.BANK.LIMIT_GB * (1 << 30)))
        self.features = ImageFeatures(self.tower, bank, self.device, cfg.DATALOADER.NUM_WORKERS)
        if self.knobs.PREC == "fp16":  # the default; fp32 was chosen
            self.features.auto_key = f"TRAINER.{self.section}.PREC"
        self.model = self.build_learner().to(self.device)
        if cfg.MODEL.INIT_WEIGHTS:
            self.start_from(cfg.MODEL.INIT_WEIGHTS)
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

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function for testing: (batch, d) image features, (batch,) tasks -> (batch, classes) logits.

        Logits of other tasks' classes are ignored. What images share, such as text features, is computed once, here.
        """
        raise NotImplementedError

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch's loss, its within-task logits (batch, n) and each image's true column of these."""
        raise NotImplementedError

    def image_features(self, batch: dict[str, Any]) -> Tensor:
        """Return (batch, feature_dim) float32 features of unit norm, from the bank if they were encoded ahead."""
        if "img" in batch:
            return self.encode_images(batch["img"].to(self.device, non_blocking=True))
        return self._views[self.epoch][batch["index"]].to(self.device, non_blocking=True)

    def encode_images(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) images -> what the method compares; by default (batch, feature_dim) features."""
        return self.tower.encode_image(images, normalize=not self.raw_features(self.cfg))

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

    def losses(self, loss: Tensor) -> list[Tensor]:
        """Return the batch's loss, and others that must be finite too."""
        return [loss]

    def detect_anomaly(self, loss: Tensor) -> None:
        """Leave it to `forward_backward`, which checks the loss when it reads it; the update before is never saved."""

    # -- training and testing --

    def refuse_test_only(self) -> None:
        """Raise InputError for a data set without training images, or with a task without test images."""
        if getattr(self.dm.dataset, "test_only", False):
            raise InputError(
                f"{self.cfg.DATASET.NAME} has no training images; train on another data set, then test on "
                "this one with --eval-only."
            )
        tested = {item.domain for item in self.dm.dataset.test}
        lacking = [task.name for index, task in enumerate(self.layout.tasks) if index not in tested]
        if lacking and not self.cfg.TEST.NO_TEST:
            raise InputError(f"Task '{lacking[0]}' has no test images; check its test split, or leave the task out.")

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

    def _encode_views_ahead(self) -> None:
        """Replace the training images of all remaining epochs with the features of the views these epochs would show.

        For methods that cannot use the bank, only if images are not augmented and all results fit into memory.
        """
        loader = self.train_loader_x
        images, epochs = images_of(loader), range(self.start_epoch, self.max_epoch)
        if self.uses_bank(self.cfg):
            self._views = self.features.views(images, epochs, self.watch.encoding)
        else:
            encoded = self.features.once(images, self.encode_images, self.watch.encoding)
            if encoded is None:
                return
            self._views = dict.fromkeys(epochs, encoded)
        # The same sampler, so the same order of batches.
        if loader.batch_size is None:  # a batch sampler from `batches`
            self.train_loader_x = DataLoader(Labels(images), batch_sampler=loader.batch_sampler)
        else:
            self.train_loader_x = DataLoader(
                Labels(images), loader.batch_size, sampler=loader.sampler, drop_last=loader.drop_last
            )

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
        began = time.time()
        self.set_model_mode("eval")
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        if split != "val" or self.val_loader is None:
            split = "test"
        print(f"Evaluate on the *{split}* set")
        classify = self.classifier()
        loader = self.val_loader if split == "val" else self.test_loader
        assert loader is not None
        self._tested = images_of(loader)
        done = 0
        for image_features, label in self.test_batches(loader):
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

    def _no_result(self, number: int, column: int, logit: float) -> InputError:
        image, name = self._tested.name_of(self._tested.data_source[number]), self.layout.classnames[column]
        fix = "use another tower, or train with a lower OPTIM.LR"
        if self.tower.dtype == torch.float16:
            fix = f"set TRAINER.{self.section}.PREC bf16 or fp32"
        return InputError(f"The logit of {image} and class '{name}' is {logit}, so the run has no result; {fix}.")

    def test_batches(self, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of image features and labels of a split, on the device."""
        if not (self.uses_bank(self.cfg) and self.cfg.BANK.TEST):
            for batch in loader:
                images = batch["img"].to(self.device, non_blocking=True)
                yield self.encode_images(images), upload(batch["label"], self.device)
            return
        data = images_of(loader)
        features = self.features.fixed(data, self.watch.encoding)
        labels = torch.tensor([item.label for item in data.data_source])
        raw = self.raw_features(self.cfg)
        for part, label in zip(features.split(TEST_ROWS), labels.split(TEST_ROWS), strict=True):
            part = part.to(self.device)
            yield part if raw else unit(part), upload(label, self.device)

    def drawn_images(self) -> Parts:
        return self._drawn_images

    @cached_property
    def _drawn_images(self) -> Parts:
        data = self.dm.dataset
        parts = {"training": data.train_x, "validation": data.val or [], "tests": data.test}
        return drawn(parts, images_of(self.test_loader).name_of, self.features.contents)

    def trained_images(self) -> Sequence[str]:
        return self._trained_images

    @cached_property
    def _trained_images(self) -> list[str]:
        return image_hashes(*self._names_and_contents(self.dm.dataset.train_x))

    def check_tests(self, folder: Path) -> None:
        check_not_trained_on(folder, *self._names_and_contents(self.dm.dataset.test))

    def _names_and_contents(self, items: Sequence[Any]) -> tuple[list[str], list[str]]:
        name_of = images_of(self.test_loader).name_of
        return [name_of(item) for item in items], self.features.contents([item.impath for item in items])

    # -- images that a run will need --

    @classmethod
    def uses_validation(cls, cfg: CfgNode) -> bool:
        """Return whether a run reads the validation images."""
        return cfg.TEST.FINAL_MODEL == "best_val" and not cfg.TEST.NO_TEST

    def open_images(self) -> None:
        """Open the images that the run will need after training: a damaged one must not end a run that was trained.

        They are encoded into the bank now instead of later. Without the bank they are decoded, and those that were
        decoded before are not read again.
        """
        cfg, loaders = self.cfg, []
        if self.uses_validation(cfg) and self.val_loader is not None:
            loaders.append(self.val_loader)
        if not cfg.TEST.NO_TEST:
            loaders.append(self.val_loader if cfg.TEST.SPLIT == "val" and self.val_loader else self.test_loader)
        began = time.time()
        for loader in dict.fromkeys(loaders):
            if self.uses_bank(cfg) and cfg.BANK.TEST:
                self.features.fixed(images_of(loader), self.watch.encoding)
            else:
                self.features.decode_once(images_of(loader), self.watch.encoding)
        taken = time.time() - began
        self.seconds["test"] += taken
        if self._began_training is not None:
            self._began_training += taken

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
        if not math.isfinite(mean):
            raise InputError("A task has no test images; check the data set's test split.")
        return {
            "tasks": tasks,
            "mean": mean,
            "contexts": self.contexts_learned(),
            "counts": {
                "trainable_parameters": count_num_param(self.model),
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
        }
