"""DomainNet."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import dataset_folder, read_list


def read_domainnet(dataset_dir: str, split_dir: str, input_domains: Sequence[str], split: str) -> list[Datum]:
    """Read ``<split_dir>/<domain>_<split>.txt``, whose paths are ``<domain>/<class>/<image>`` in ``dataset_dir``."""
    items = []
    for domain, name in enumerate(input_domains):
        for path, label in read_list(osp.join(split_dir, f"{name}_{split}.txt")):
            items.append(Datum(osp.join(dataset_dir, path), label, domain, path.split("/")[1]))
    return items


@DATASET_REGISTRY.register()
class DomainNet(DatasetBase):
    """DomainNet (Peng et al., ICCV 2019): about 0.6 million images of 345 classes in six domains.

    Layout: ``domainnet/<domain>/<class>/<image>`` and ``domainnet/splits/<domain>_{train,test}.txt`` (the cleaned
    version). painting_train.txt has no image of class 327, t-shirt.
    """

    dataset_dir = "domainnet"
    domains = ["clipart", "infograph", "painting", "quickdraw", "real", "sketch"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        self.split_dir = osp.join(self.dataset_dir, "splits")
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        super().__init__(
            train_x=self._read_data(sources, split="train"),
            train_u=self._read_data(targets, split="train"),
            val=self._read_data(sources, split="test"),
            test=self._read_data(targets, split="test"),
        )

    def _read_data(self, input_domains: Sequence[str], split: str = "train") -> list[Datum]:
        return read_domainnet(self.dataset_dir, self.split_dir, input_domains, split)
