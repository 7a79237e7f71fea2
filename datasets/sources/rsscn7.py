"""RSSCN7 (Zou et al., IEEE GRSL 2015): 7 scenes at four scales, 400 images each, from Google Earth."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, SceneSource


@DATASET_REGISTRY.register()
class RSSCN7(SceneSource):
    """No official split: each class is split 50/20/30."""

    folders = ("RSSCN7", "RSSCN7-master")
    image_places = ("RSSCN7", "RSSCN7-master")
    task_name = "land use across scales"
    # The release puts a letter before each class name, to order the folders; some copies do not.
    class_names = {
        "aGrass": "grass",
        "bField": "field",
        "cIndustry": "industrial area",
        "dRiverLake": "river or lake",
        "eForest": "forest",
        "fResident": "residential area",
        "gParking": "parking lot",
    }
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
    def key(cls, folder: str) -> str:
        without_letter = {key[1:].lower(): key for key in cls.class_names}
        return without_letter.get(folder.lower(), folder)
