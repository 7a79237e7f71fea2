"""OPTIMAL-31 (Wang et al., IEEE TGRS 2019): 31 scenes, 60 images each, from Google Earth."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, inside, one_pool, scene
from datasets.source import Facts, Source


@DATASET_REGISTRY.register()
class OPTIMAL31(Source):
    """No official split: 50/20/30 within every class."""

    folders = ("OPTIMAL-31", "Optimal-31")
    images = "Images"
    task_name = "scene seen from above"
    template = "a satellite photo of {}."
    facts = Facts(
        classes=31,
        images=1860,
        split=None,
        licence="see its page",
        size="not stated",
        home="https://doi.org/10.1109/TGRS.2018.2864987",
        steps=(
            "Download OPTIMAL-31 through the link that its authors give (Q. Wang, https://crabwq.github.io/).",
            "Unpack it as OPTIMAL-31, which then holds Images/ with 31 folders from airplane to runway.",
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(inside(folder, cls.images, ""), scene)
