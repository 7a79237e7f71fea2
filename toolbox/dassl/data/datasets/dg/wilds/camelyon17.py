"""Camelyon17."""

from __future__ import annotations

from ...build import DATASET_REGISTRY
from .wilds_base import WILDSBase


@DATASET_REGISTRY.register()
class Camelyon17(WILDSBase):
    """Tumour in tissue patches (Bandi et al., TMI 2019); a domain is a hospital."""

    dataset_dir = "camelyon17_v1.0"

    def load_classnames(self) -> dict[int, str]:
        """Return the two class names."""
        return {0: "healthy tissue", 1: "tumor tissue"}
