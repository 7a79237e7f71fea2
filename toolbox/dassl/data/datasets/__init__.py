"""The data set registry, and the base classes of data sets."""

from dassl import not_included

from .base_dataset import DatasetBase, Datum
from .build import DATASET_REGISTRY, build_dataset

__all__ = ["DATASET_REGISTRY", "DatasetBase", "Datum", "build_dataset"]


def __getattr__(name: str) -> None:
    not_included.missing_attribute(__name__, name, not_included.DATASETS)
