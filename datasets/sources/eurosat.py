"""EuroSAT (Helber et al., JSTARS 2019): ten kinds of land use in satellite images, the RGB version."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, one_pool
from datasets.source import Download, Facts, Source

CLASSNAMES = {
    "AnnualCrop": "Annual Crop Land",
    "Forest": "Forest",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "River": "River",
    "SeaLake": "Sea or Lake",
}


@DATASET_REGISTRY.register()
class EuroSAT(Source):
    folders = ("eurosat",)
    images = "2750"
    split_files = ("split_zhou_EuroSAT.json", "split_dk_EuroSAT.json")
    task_name = "land use"
    template = "a centered satellite photo of {}."
    facts = Facts(
        classes=10,
        images=27000,
        split=(13500, 5400, 8100),
        licence="MIT",
        size="94 MB",
        home="https://github.com/phelber/EuroSAT",
        downloads=(
            Download(
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "eurosat",
                "c8fa014336c82ac7804f0398fcb19387",
                unpack=True,
            ),
            Download("gdrive:1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o", "eurosat/split_zhou_EuroSAT.json"),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(folder / cls.images, CLASSNAMES)
