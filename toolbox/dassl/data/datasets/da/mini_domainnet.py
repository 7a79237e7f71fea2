"""miniDomainNet."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import dataset_folder
from .domainnet import read_domainnet


@DATASET_REGISTRY.register()
class miniDomainNet(DatasetBase):
    """A part of DomainNet (Zhou et al., TIP 2021): four domains, without validation data.

    Layout: that of DomainNet, with the split files in ``domainnet/splits_mini``.
    """

    dataset_dir = "domainnet"
    domains = ["clipart", "painting", "real", "sketch"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        self.split_dir = osp.join(self.dataset_dir, "splits_mini")
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        super().__init__(
            train_x=self._read_data(sources, split="train"),
            train_u=self._read_data(targets, split="train"),
            test=self._read_data(targets, split="test"),
        )

    def _read_data(self, input_domains: Sequence[str], split: str = "train") -> list[Datum]:
        return read_domainnet(self.dataset_dir, self.split_dir, input_domains, split)
