"""STL-10 for semi-supervised learning."""

from __future__ import annotations

import os.path as osp

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import HINT, dataset_folder, label_in_name, list_files


@DATASET_REGISTRY.register()
class STL10(DatasetBase):
    """STL-10 (Coates et al., AISTATS 2011): 1,000 labelled images of fold DATASET.STL10_FOLD (0 .. 4).

    Layout: ``stl10/{train,test,unlabeled}/<number>_<label>.<ext>`` (``<number>_none`` in "unlabeled") and
    ``stl10/stl10_binary/fold_indices.txt``, whose lines are the folds. Class names are empty. With
    DATASET.ALL_AS_UNLABELED the labelled images are unlabelled data too.
    """

    dataset_dir = "stl10"

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        fold_file = osp.join(self.dataset_dir, "stl10_binary", "fold_indices.txt")
        fold = cfg.DATASET.STL10_FOLD
        if not 0 <= fold <= 4:
            raise ValueError(f"DATASET.STL10_FOLD must be 0 .. 4, but got {fold}")
        train_x = self._read_data_train(osp.join(self.dataset_dir, "train"), fold, fold_file)
        train_u = self._read_data_all(osp.join(self.dataset_dir, "unlabeled"))
        test = self._read_data_all(osp.join(self.dataset_dir, "test"))
        if cfg.DATASET.ALL_AS_UNLABELED:
            train_u = train_u + train_x
        super().__init__(train_x=train_x, train_u=train_u, test=test)

    def _read_data_train(self, data_dir: str, fold: int, fold_file: str) -> list[Datum]:
        paths = list_files(data_dir)
        if not osp.isfile(fold_file):
            raise FileNotFoundError(f"No file of folds at {fold_file}; {HINT}")
        with open(fold_file, encoding="utf-8") as file:
            # Upstream stores the numbers in eight bits, and so takes wrong images from 256 on.
            chosen = [int(number) for number in file.read().splitlines()[fold].split()]
        if max(chosen) >= len(paths):
            raise ValueError(f"{fold_file} asks for image {max(chosen)}, but {data_dir} has {len(paths)}; {HINT}")
        return [Datum(paths[index], label_in_name(paths[index])) for index in chosen]

    def _read_data_all(self, data_dir: str) -> list[Datum]:
        return [Datum(path, label_in_name(path)) for path in list_files(data_dir)]
