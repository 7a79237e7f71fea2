"""UC Merced Land Use (Yang and Newsam, ACM GIS 2010): 21 land uses, 100 images each, aerial images of US cities."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, SceneSource


@DATASET_REGISTRY.register()
class UCMerced(SceneSource):
    """No official split: each class is split 50/20/30."""

    folders = ("UCMerced_LandUse",)
    aliases = ("ucmerced", "landuse-scene-classification", "uc-merced-land-use-dataset")
    images = "Images"
    task_name = "urban land use"
    class_names = {
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
    facts = Facts(
        classes=21,
        images=2100,
        split=None,
        licence="public domain (USGS imagery)",
        size="320 MB",
        home="http://weegee.vision.ucmerced.edu/datasets/landuse.html",
        downloads=(
            Download(
                "https://hf.co/datasets/torchgeo/ucmerced/resolve/7c5ef3454d9b1cccfa7ccde0c01fc8f00a45909a/"
                "UCMerced_LandUse.zip",
                "",
                "5b7ec56793786b6dc8a908e8854ac0e4",
                unpack=True,
            ),
        ),
    )
