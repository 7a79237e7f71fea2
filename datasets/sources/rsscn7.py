"""RSSCN7 (Zou et al., IEEE GRSL 2015): 7 scenes at four scales, 400 images each, from Google Earth."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, one_pool
from datasets.source import Download, Facts, Source

# The release puts a letter before each class name, to order the folders.
CLASSNAMES = {
    "aGrass": "grass",
    "bField": "field",
    "cIndustry": "industrial area",
    "dRiverLake": "river or lake",
    "eForest": "forest",
    "fResident": "residential area",
    "gParking": "parking lot",
}


@DATASET_REGISTRY.register()
class RSSCN7(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("RSSCN7", "RSSCN7-master")
    task_name = "land use across scales"
    template = "a satellite photo of {}."
    facts = Facts(
        classes=7,
        images=2800,
        split=None,
        licence="not stated",
        size="360 MB",
        home="https://github.com/palewithout/RSSCN7",
        downloads=(Download("https://github.com/palewithout/RSSCN7/archive/refs/heads/master.zip", "", unpack=True),),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(find_subfolder(folder, "RSSCN7", "RSSCN7-master", ""), CLASSNAMES)
