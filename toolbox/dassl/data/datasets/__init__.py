"""Data sets: their registry, and what one is made of."""

from dassl import not_carried

from .base_dataset import DatasetBase, Datum
from .build import DATASET_REGISTRY, build_dataset

__all__ = ["DATASET_REGISTRY", "DatasetBase", "Datum", "build_dataset"]


def __getattr__(name: str) -> None:
    not_carried.attribute(__name__, name, not_carried.DATASETS)
