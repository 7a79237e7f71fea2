"""PACS."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import dataset_folder, download_if_missing, read_list


@DATASET_REGISTRY.register()
class PACS(DatasetBase):
    """PACS (Li et al., ICCV 2017): 9,991 images of seven classes in four domains. Downloaded if missing.

    Layout: ``pacs/images/<domain>/<class>/<image>`` and ``pacs/splits/<domain>_{train,crossval}_kfold.txt``, whose
    labels start at 1. A target domain is tested on both splits.
    """

    dataset_dir = "pacs"
    domains = ["art_painting", "cartoon", "photo", "sketch"]
    data_url = "https://drive.google.com/uc?id=1m4X4fROCCXMO0lRLrr6Zz9Vb3974NWhE"
    # Broken images, which are left out.
    _error_paths = ["sketch/dog/n02103406_4068-1.png"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        self.image_dir = osp.join(self.dataset_dir, "images")
        self.split_dir = osp.join(self.dataset_dir, "splits")
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        download_if_missing(self, self.data_url, "pacs.zip")
        super().__init__(
            train_x=self._read_data(sources, "train"),
            val=self._read_data(sources, "crossval"),
            test=self._read_data(targets, "all"),
        )

    def _read_data(self, input_domains: Sequence[str], split: str) -> list[Datum]:
        items = []
        for domain, name in enumerate(input_domains):
            for part in ("train", "crossval") if split == "all" else (split,):
                for path, label in self._read_split_pacs(osp.join(self.split_dir, f"{name}_{part}_kfold.txt")):
                    items.append(Datum(path, label, domain, osp.basename(osp.dirname(path))))
        return items

    def _read_split_pacs(self, split_file: str) -> list[tuple[str, int]]:
        return [
            (osp.join(self.image_dir, path), label - 1)
            for path, label in read_list(split_file)
            if path not in self._error_paths
        ]
