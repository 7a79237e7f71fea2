"""VLCS."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import (
    check_class_folders,
    dataset_folder,
    domain_folder,
    download_if_missing,
    list_jpegs,
    read_class_folders,
)


@DATASET_REGISTRY.register()
class VLCS(DatasetBase):
    """VLCS (Torralba and Efros, CVPR 2011): bird, car, chair, dog and person in four data sets. Downloaded if missing.

    Layout: ``VLCS/<DOMAIN>/{train,crossval,test}/<class>/<image>.jpg``, domains in capitals. Class names are empty.
    """

    dataset_dir = "VLCS"
    domains = ["caltech", "labelme", "pascal", "sun"]
    data_url = "https://drive.google.com/uc?id=1r0WL5DDqKfSPp9E3tRENwHaXNs1olLZd"

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        download_if_missing(self, self.data_url, "vlcs.zip")
        train = self._read_data(sources, "train")
        val = self._read_data(sources, "crossval")
        test = self._read_data(targets, "test")
        check_class_folders(train, val, test)
        super().__init__(train_x=train, val=val, test=test)

    def _read_data(self, input_domains: Sequence[str], split: str) -> list[Datum]:
        items = []
        for domain, name in enumerate(input_domains):
            folder = osp.join(domain_folder(self.dataset_dir, name.upper()), split)
            items += read_class_folders(folder, domain, images=list_jpegs)
        return items
