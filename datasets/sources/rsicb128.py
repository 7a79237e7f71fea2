"""RSI-CB128 (Li et al., Sensors 2020): 45 kinds of objects in 7 groups, labelled with the help of OpenStreetMap."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import ClassFolders, Release, grouped_class_folders, read_classes
from datasets.places import group_count
from datasets.source import Facts, SceneSource


@DATASET_REGISTRY.register()
class RSICB128(SceneSource):
    """No official split: each class is split 50/20/30. Class folders are in group folders, which are ignored."""

    folders = ("RSI-CB128", "RSI-CB/RSI-CB128")
    image_places = ("RSI-CB128",)
    task_name = "geographic object"
    class_names = {
        "hirst": "sandbank",
        "parkinglot": "parking lot",
        "rail": "railway",
        "residents": "residential area",
        "sandbeach": "sandy beach",
        "shrubwood": "shrubland",
    }
    facts = Facts(
        classes=45,
        images=36707,
        split=None,
        licence="not stated",
        size="not stated",
        home="https://github.com/lehaifeng/RSI-CB",
        steps=(
            "Download RSI-CB128 through the link on https://github.com/lehaifeng/RSI-CB",
            "Unpack it as RSI-CB128/, which should then contain 7 folders, 'construction land' to 'woodland', "
            "with 45 folders in total.",
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        places = (*cls.image_places, "")
        return read_classes(folder, places, cls.read_folders, cls.name(), count=group_count)

    @classmethod
    def read_folders(cls, folder: Path) -> ClassFolders:
        return grouped_class_folders(folder, cls.classname)
