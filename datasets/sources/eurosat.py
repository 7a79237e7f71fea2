"""EuroSAT (Helber et al., JSTARS 2019): ten kinds of land use in satellite images, the RGB version."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class EuroSAT(Source):
    folders = ("eurosat",)
    aliases = ("eurosat-dataset", "EuroSAT_RGB")
    images = "2750"
    image_places = ("EuroSAT_RGB", "EuroSAT", "RGB")
    split_files = ("split_zhou_EuroSAT.json", "split_dk_EuroSAT.json")
    task_name = "land use"
    template = "a centered satellite photo of {}."
    class_names = {
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
