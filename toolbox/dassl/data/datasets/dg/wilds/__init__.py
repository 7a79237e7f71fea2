"""Data sets of WILDS (Koh et al., ICML 2021), read with the package ``wilds``."""

from .camelyon17 import Camelyon17
from .fmow import FMoW
from .iwildcam import IWildCam

__all__ = ["Camelyon17", "FMoW", "IWildCam"]
