"""Data sets, samplers, image transforms, and the loaders made of them."""

from .data_manager import DataManager, DatasetWrapper

__all__ = ["DataManager", "DatasetWrapper"]
