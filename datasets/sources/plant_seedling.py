"""Plant Seedlings, version 1 (Giselsson et al., Aarhus University, 2017): 12 species, one plant per image."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class PlantSeedlingV1(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("PlantSeedlingV1",)
    aliases = ("plant-seedlings-classification", "plant_seedling", "v2-plant-seedlings-dataset")
    images = "Nonsegmented"
    image_places = ("NonsegmentedV1", "NonsegmentedV2")
    split_files = ("split_dk_PlantSeedlingV1.json",)
    task_name = "plant seedling"
    template = "a photo of a {}, a type of seedling."
    class_names = {"Shepherds Purse": "Shepherd's Purse"}
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
        steps=(
            "If vision.eng.au.dk does not answer: log in to Kaggle and download version 2 (5,539 images) from "
            "https://www.kaggle.com/datasets/vbookshelf/v2-plant-seedlings-dataset; results will differ a little.",
            "Unpack it into PlantSeedlingV1/, which should then contain nonsegmentedv2/ with 12 folders.",
        ),
    )

    @classmethod
    def key(cls, folder: str) -> str:
        # Unpacking tools spell the apostrophe in this folder's name differently, and draws must not depend on the tool.
        return "Shepherds Purse" if folder.startswith("Shepherd") and folder.endswith("Purse") else folder
