"""iWildCam."""

from __future__ import annotations

import csv
import os.path as osp
from typing import Any

from ...build import DATASET_REGISTRY
from .wilds_base import WILDSBase


@DATASET_REGISTRY.register()
class IWildCam(WILDSBase):
    """182 species in pictures of camera traps (Beery et al., 2021); a domain is a camera."""

    dataset_dir = "iwildcam_v2.0"

    def get_image_path(self, dataset: Any, idx: int) -> str:
        """Return the path of an image of the whole data set."""
        return osp.join(self.dataset_dir, "train", str(dataset._input_array[idx]))

    def load_classnames(self) -> dict[int, str]:
        """Return the names in the rows of categories.csv, in their order."""
        with open(osp.join(self.dataset_dir, "categories.csv"), newline="", encoding="utf-8") as file:
            return {label: row["name"] for label, row in enumerate(csv.DictReader(file))}
