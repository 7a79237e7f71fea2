"""Data sets, samplers, image transforms and data loaders."""

from .data_manager import DataManager, DatasetWrapper

__all__ = ["DataManager", "DatasetWrapper"]
