"""VisDA-2017."""

from __future__ import annotations

import os.path as osp

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import dataset_folder, read_list


@DATASET_REGISTRY.register()
class VisDA17(DatasetBase):
    """VisDA-2017 (Peng et al., arXiv 2017): from synthetic to real images.

    Layout: ``visda17/{train,validation}/image_list.txt`` with lines ``<class>/<image> <label>``. "train" is the domain
    synthetic, "validation" the domain real.
    """

    dataset_dir = "visda17"
    domains = ["synthetic", "real"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        # Upstream ignores the two lists, so other domains would get the results of these.
        if list(sources) != ["synthetic"] or list(targets) != ["real"]:
            raise ValueError(
                "VisDA17 adapts from synthetic to real; set DATASET.SOURCE_DOMAINS to ['synthetic'] and "
                f"DATASET.TARGET_DOMAINS to ['real'], not {list(sources)} and {list(targets)}"
            )
        super().__init__(
            train_x=self._read_data("synthetic"), train_u=self._read_data("real"), test=self._read_data("real")
        )

    def _read_data(self, dname: str) -> list[Datum]:
        folder = osp.join(self.dataset_dir, "train" if dname == "synthetic" else "validation")
        return [
            Datum(osp.join(folder, path), label, 0, path.split("/")[0])
            for path, label in read_list(osp.join(folder, "image_list.txt"))
        ]
