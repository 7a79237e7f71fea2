"""From image files to features: the data sets, the frozen tower and the features that a trainer reads.

`TaskTrainer` adds what is learned from them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from dassl.data import DataManager
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from yacs.config import CfgNode

from common.errors import InputError
from common.paths import BANK, OUTPUT, REPOSITORY
from datasets.collection import layout_of
from datasets.images import Labels, SeededImages, data_root, not_augmented
from prompting.feature_bank import FeatureBank
from prompting.image_precision import choose_image_dtype, dtype_of, name_of
from prompting.losses import unit
from prompting.pixels import check_pixels, from_tower
from prompting.text_memory import TextMemory
from prompting.towers import Tower, load_tower
from prompting.transfers import sent, upload
from trainers.engine.batches import OneTaskBatches
from trainers.engine.checkpoint_fit import Parts, check_not_trained_on, drawn, image_hashes
from trainers.engine.image_features import ImageFeatures
from trainers.engine.resuming_trainer import ResumingTrainer
from trainers.engine.views import as_tested
from trainers.engine.watch import Watch

TEST_ROWS = 4096  # test images per batch when their features come from the bank


def search_folders(cfg: CfgNode) -> tuple[Path, ...]:
    """Return the folders to search for a relative checkpoint path, after the working directory."""
    return REPOSITORY, data_root(cfg)


def bank_folder(cfg: CfgNode) -> Path:
    """Return the folder of the stored features."""
    return Path(cfg.BANK.DIR or OUTPUT / BANK)


def images_of(loader: DataLoader) -> SeededImages:
    """Return the data set of a loader, which `ImageTrainer.build_data_loader` built."""
    return cast(SeededImages, loader.dataset)


class ImageTrainer(ResumingTrainer):
    """Loads the tower and the images of a collection, and encodes them."""

    def __init__(self, cfg: CfgNode):
        self.watch = Watch()
        super().__init__(cfg)

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
        bank = FeatureBank(bank_folder(self.cfg), int(self.cfg.BANK.LIMIT_GB * (1 << 30)))
        self.features = ImageFeatures(self.tower, bank, self.device, self.cfg.DATALOADER.NUM_WORKERS)
        self.features.pool = getattr(dm.dataset, "fold_pool", ())
        if self.knobs.PREC == "fp16":  # the default; fp32 was chosen
            self.features.auto_key = f"TRAINER.{self.section}.PREC"

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
        dtype = dtype_of(self.knobs.PREC, self.device)
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
        # Only the choice of PREC auto may change from run to run.
        cfg.MODEL.BACKBONE.IMAGES = name_of(tower.image_dtype) if self.knobs.PREC == "auto" else ""
        cfg.freeze()
        check_pixels(tower.name, tower.preprocessing, cfg.INPUT, given)
        return cfg

    # -- features --

    def image_features(self, batch: dict[str, Any]) -> Tensor:
        """Return (batch, feature_dim) float32 features of unit norm, from the bank if they were encoded ahead."""
        if "img" in batch:
            return self.encode_images(sent(batch["img"], self.device))
        return sent(self._views[self.epoch][batch["index"]], self.device)

    def encode_images(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) images -> what the method compares; by default (batch, feature_dim) features."""
        return self.tower.encode_image(images, normalize=not self.raw_features(self.cfg))

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

    def test_batches(self, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of image features and labels of a split, on the device."""
        if not (self.uses_bank(self.cfg) and self.cfg.BANK.TEST):
            for batch in loader:
                yield self.encode_images(sent(batch["img"], self.device)), upload(batch["label"], self.device)
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

    def check_tests(self, trained: Sequence[str], what: str) -> None:
        if trained and not self.untested:
            check_not_trained_on(what, trained, *self._names_and_contents(self.dm.dataset.test))

    def _names_and_contents(self, items: Sequence[Any]) -> tuple[list[str], list[str]]:
        name_of = images_of(self.test_loader).name_of
        return [name_of(item) for item in items], self.features.contents([item.impath for item in items])

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

    @property
    def untested(self) -> bool:
        """True if every image is for training, so that nothing is tested and accuracies are NaN."""
        return getattr(self.dm.dataset, "untested", False)

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


def split_features(trainer: ImageTrainer, split: str) -> tuple[Tensor, Tensor]:
    """Return the (images, d) features and (images,) flat class indices of the un-augmented "train" or "val" images.

    Features are on the trainer's device, and normalised unless it uses raw features. Without such images there are no
    rows.
    """
    data = trainer.dm.dataset
    items = data.train_x if split == "train" else data.val or []
    if not items:
        features = torch.empty(0, trainer.tower.text.feature_dim, device=trainer.device)
        return features, torch.empty(0, dtype=torch.long, device=trainer.device)
    assert trainer.test_loader is not None
    images = SeededImages(trainer.cfg, items, transform=images_of(trainer.test_loader).transform)
    loader = trainer.cfg.DATALOADER
    batches: DataLoader = DataLoader(images, batch_size=loader.TEST.BATCH_SIZE, num_workers=loader.NUM_WORKERS)
    parts, labels = zip(*trainer.test_batches(batches), strict=True)
    return torch.cat(parts), torch.cat(labels)


def features_by_task(trainer: ImageTrainer, split: str) -> list[tuple[Tensor, Tensor]]:
    """Return what `split_features` does task by task; class indices are among a task's own classes."""
    x, y = split_features(trainer, split)
    task = trainer.layout.task_of_class.to(y.device)[y]
    parts = [(task == index, start) for index, start in enumerate(trainer.layout.offsets[: len(trainer.layout)])]
    return [(x[mine], y[mine] - start) for mine, start in parts]
