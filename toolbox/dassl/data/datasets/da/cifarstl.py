"""CIFAR-10 and STL-10."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import class_folders, dataset_folder, list_files


@DATASET_REGISTRY.register()
class CIFARSTL(DatasetBase):
    """The nine classes that CIFAR-10 (Krizhevsky, 2009) and STL-10 (Coates et al., AISTATS 2011) share.

    Layout: ``cifar_stl/{cifar,stl}/{train,test}/<label>_<class>/<image>``. Class names are empty.
    """

    dataset_dir = "cifar_stl"
    domains = ["cifar", "stl"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        super().__init__(
            train_x=self._read_data(sources, split="train"),
            train_u=self._read_data(targets, split="train"),
            test=self._read_data(targets, split="test"),
        )

    def _read_data(self, input_domains: Sequence[str], split: str = "train") -> list[Datum]:
        items = []
        for domain, name in enumerate(input_domains):
            for folder in class_folders(osp.join(self.dataset_dir, name, split)):
                number = osp.basename(folder).split("_")[0]
                if not number.isdecimal():
                    raise ValueError(f"Class folder {folder} has no label; expected <label>_<class>, such as 001_bird")
                items += [Datum(path, int(number), domain) for path in list_files(folder)]
        return items
