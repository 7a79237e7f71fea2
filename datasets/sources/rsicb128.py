"""RSI-CB128 (Li et al., Sensors 2020): 45 kinds of objects in 7 groups, labelled with the help of OpenStreetMap."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, grouped_class_folders, scene_phrase
from datasets.source import Facts, Source

CLASSNAMES = {
    "hirst": "sandbank",
    "parkinglot": "parking lot",
    "rail": "railway",
    "residents": "residential area",
    "sandbeach": "sandy beach",
    "shrubwood": "shrubland",
}


@DATASET_REGISTRY.register()
class RSICB128(Source):
    """No official split: each class is split 50/20/30. Class folders are in group folders, which are ignored."""

    folders = ("RSI-CB128", "RSI-CB/RSI-CB128")
    task_name = "geographic object"
    template = "a satellite photo of {}."
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
        return grouped_class_folders(
            find_subfolder(folder, "RSI-CB128", ""), lambda name: CLASSNAMES.get(name, scene_phrase(name))
        )
