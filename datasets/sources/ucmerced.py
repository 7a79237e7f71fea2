"""UC Merced Land Use (Yang and Newsam, ACM GIS 2010): 21 land uses, 100 images each, aerial images of US cities."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, one_pool, scene_phrase
from datasets.source import Download, Facts, Source

CLASSNAMES = {
    "agricultural": "agricultural land",
    "baseballdiamond": "baseball diamond",
    "denseresidential": "dense residential area",
    "golfcourse": "golf course",
    "mediumresidential": "medium residential area",
    "mobilehomepark": "mobile home park",
    "parkinglot": "parking lot",
    "sparseresidential": "sparse residential area",
    "storagetanks": "storage tanks",
    "tenniscourt": "tennis court",
}


@DATASET_REGISTRY.register()
class UCMerced(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("UCMerced_LandUse",)
    images = "Images"
    task_name = "urban land use"
    template = "a satellite photo of {}."
    facts = Facts(
        classes=21,
        images=2100,
        split=None,
        licence="public domain (USGS imagery)",
        size="320 MB",
        home="http://weegee.vision.ucmerced.edu/datasets/landuse.html",
        downloads=(
            Download(
                "http://weegee.vision.ucmerced.edu/datasets/UCMerced_LandUse.zip",
                "",
                "5b7ec56793786b6dc8a908e8854ac0e4",
                unpack=True,
            ),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(find_subfolder(folder, cls.images, ""), lambda name: CLASSNAMES.get(name, scene_phrase(name)))
