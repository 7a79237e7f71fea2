"""CIFAR-10 and CIFAR-100 for semi-supervised learning."""

from __future__ import annotations

import math
import os.path as osp
import random

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import class_folders, dataset_folder, list_files, read_class_folders


@DATASET_REGISTRY.register()
class CIFAR10(DatasetBase):
    """CIFAR-10 (Krizhevsky, 2009) with DATASET.NUM_LABELED labelled images in total. Class names are empty.

    Layout: ``cifar10/{train,test}/<class>/<image>``. Of every class, the first DATASET.VAL_PERCENT of the images are
    validation data (Oliver et al., NeurIPS 2018), random ones are labelled, and the rest is unlabelled. With
    DATASET.ALL_AS_UNLABELED the labelled images are unlabelled data too.
    """

    dataset_dir = "cifar10"

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        if cfg.DATASET.NUM_LABELED <= 0:
            raise ValueError(
                f"{type(self).__name__} needs DATASET.NUM_LABELED, the number of labelled images; "
                f"it is {cfg.DATASET.NUM_LABELED}"
            )
        train_x, train_u, val = self._read_data_train(
            osp.join(self.dataset_dir, "train"), cfg.DATASET.NUM_LABELED, cfg.DATASET.VAL_PERCENT
        )
        test = self._read_data_test(osp.join(self.dataset_dir, "test"))
        if cfg.DATASET.ALL_AS_UNLABELED:
            train_u = train_u + train_x
        super().__init__(train_x=train_x, train_u=train_u, val=val or None, test=test)

    def _read_data_train(
        self, data_dir: str, num_labeled: int, val_percent: float
    ) -> tuple[list[Datum], list[Datum], list[Datum]]:
        folders = class_folders(data_dir)
        per_class = math.floor(num_labeled / len(folders))
        if per_class == 0:
            raise ValueError(
                f"DATASET.NUM_LABELED = {num_labeled} leaves some of the {len(folders)} classes in {data_dir} without "
                "a labelled image; it counts the images of all classes together"
            )
        items_x: list[Datum] = []
        items_u: list[Datum] = []
        items_v: list[Datum] = []
        for label, folder in enumerate(folders):
            paths = list_files(folder)
            num_val = math.floor(len(paths) * val_percent)
            training = paths[num_val:]
            random.shuffle(training)
            items_x += [Datum(path, label) for path in training[:per_class]]
            items_u += [Datum(path, label) for path in training[per_class:]]
            items_v += [Datum(path, label) for path in paths[:num_val]]
        return items_x, items_u, items_v

    def _read_data_test(self, data_dir: str) -> list[Datum]:
        return read_class_folders(data_dir)


@DATASET_REGISTRY.register()
class CIFAR100(CIFAR10):
    """The same for CIFAR-100."""

    dataset_dir = "cifar100"
