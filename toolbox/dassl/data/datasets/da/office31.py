"""Office-31."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import check_class_folders, class_folders, dataset_folder, domain_folder, read_class_folders


@DATASET_REGISTRY.register()
class Office31(DatasetBase):
    """Office-31 (Saenko et al., ECCV 2010): 4,110 images of 31 classes in three domains.

    Layout: ``office31/<domain>/<class>/<image>``, or ``office31/<domain>/images/<class>/<image>`` as downloaded.
    """

    dataset_dir = "office31"
    domains = ["amazon", "webcam", "dslr"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        train_x, train_u, test = self._read_data(sources), self._read_data(targets), self._read_data(targets)
        check_class_folders(train_x, test)
        super().__init__(train_x=train_x, train_u=train_u, test=test)

    def _read_data(self, input_domains: Sequence[str]) -> list[Datum]:
        items = []
        for domain, name in enumerate(input_domains):
            folder = domain_folder(self.dataset_dir, name)
            inner = osp.join(folder, "images")
            if class_folders(folder) == [inner]:
                folder = inner
            items += read_class_folders(folder, domain, classname=str)
        return items
