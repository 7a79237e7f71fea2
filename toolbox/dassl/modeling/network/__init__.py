"""Whole networks; upstream's own are not carried, the registry is for plugins."""

from dassl import not_carried

from .build import NETWORK_REGISTRY, build_network

__all__ = ["NETWORK_REGISTRY", "build_network"]


def __getattr__(name: str) -> None:
    not_carried.attribute(__name__, name, not_carried.NETWORKS)
