"""Plant Seedlings, version 1 (Giselsson et al., Aarhus University, 2017): 12 species, one plant per image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, one_pool
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class PlantSeedlingV1(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("PlantSeedlingV1",)
    images = "Nonsegmented"
    split_files = ("split_dk_PlantSeedlingV1.json",)
    task_name = "plant seedling"
    template = "a photo of a {}, a type of seedling."
    facts = Facts(
        classes=12,
        images=0,  # not published for version 1; version 2 has 5,539
        split=None,
        licence="CC BY-SA 4.0",
        size="1.7 GB",
        home="https://vision.eng.au.dk/plant-seedlings-dataset/",
        downloads=(
            Download(
                "https://vision.eng.au.dk/?download=/data/WeedData/Nonsegmented.zip", "PlantSeedlingV1", unpack=True
            ),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        release = one_pool(find_subfolder(folder, cls.images, ""))
        # Unpacking tools spell the apostrophe in this folder's name differently, and draws must not depend on the tool.
        purse = [i for i, key in enumerate(release.keys) if key.startswith("Shepherd") and key.endswith("Purse")]
        keys, names = list(release.keys), list(release.classnames)
        for i in purse:
            keys[i], names[i] = "Shepherds Purse", "Shepherd's Purse"
        return replace(release, keys=tuple(keys), classnames=tuple(names))
