"""Office-Home."""

from __future__ import annotations

from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import check_class_folders, dataset_folder, domain_folder, read_class_folders


@DATASET_REGISTRY.register()
class OfficeHome(DatasetBase):
    """Office-Home (Venkateswara et al., CVPR 2017): about 15,500 images of 65 classes in four domains.

    Layout: ``office_home/<domain>/<class>/<image>``. Class names are in lower case.
    """

    dataset_dir = "office_home"
    domains = ["art", "clipart", "product", "real_world"]

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
            items += read_class_folders(domain_folder(self.dataset_dir, name), domain, classname=str.lower)
        return items
