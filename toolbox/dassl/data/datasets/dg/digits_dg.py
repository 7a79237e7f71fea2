"""Digits-DG."""

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
class DigitsDG(DatasetBase):
    """Digits-DG (Zhou et al., AAAI 2020): MNIST, MNIST-M, SVHN and synthetic digits. Downloaded if missing.

    Layout: ``digits_dg/<domain>/{train,val}/<class>/<image>.jpg``. A target domain is tested on all its images.
    """

    dataset_dir = "digits_dg"
    domains = ["mnist", "mnist_m", "svhn", "syn"]
    data_url = "https://drive.google.com/uc?id=15V7EsHfCcfbKgsDmzQKj_DfXt_XYp_P7"

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        download_if_missing(self, self.data_url, f"{osp.basename(self.dataset_dir)}.zip")
        train = self.read_data(self.dataset_dir, sources, "train")
        val = self.read_data(self.dataset_dir, sources, "val")
        test = self.read_data(self.dataset_dir, targets, "all")
        check_class_folders(train, val, test)
        super().__init__(train_x=train, val=val, test=test)

    @staticmethod
    def read_data(dataset_dir: str, input_domains: Sequence[str], split: str) -> list[Datum]:
        """Read the split "train", "val", or "all" for both, of the domains; class names are in lower case."""
        items = []
        for domain, name in enumerate(input_domains):
            for part in ("train", "val") if split == "all" else (split,):
                folder = osp.join(domain_folder(dataset_dir, name), part)
                items += read_class_folders(folder, domain, classname=str.lower, images=list_jpegs)
        return items
