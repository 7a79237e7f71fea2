"""PlantVillage, release without augmentation (Geetharamani and Pandian, 2019): leaves of 14 crops, 38 conditions, and
background."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, one_pool
from datasets.source import Download, Facts, Source

# Conditions whose folder name is more, or less, detailed than a caption.
CONDITIONS = {
    "Apple_scab": "scab disease",
    "Cercospora_leaf_spot Gray_leaf_spot": "gray leaf spot",
    "Esca_(Black_Measles)": "black measles",
    "Haunglongbing_(Citrus_greening)": "citrus greening disease",
    "Leaf_Mold": "leaf mold",
    "Leaf_blight_(Isariopsis_Leaf_Spot)": "isariopsis leaf blight",
    "Leaf_scorch": "scorch disease",
    "Spider_mites Two-spotted_spider_mite": "two-spotted spider mites",
}
CROPS = {"Pepper,_bell": "bell pepper"}


def phrase(folder: str) -> str:
    """The name of a class folder in a prompt.

    >>> [phrase(name) for name in ("Apple___Apple_scab", "Grape___healthy", "Background_without_leaves")]
    ['apple leaf with scab disease', 'healthy grape leaf', 'background without leaves']
    """
    crop, separator, condition = folder.partition("___")
    if not separator:
        return folder.replace("_", " ").lower()
    crop = CROPS.get(crop, crop.lower())
    if condition == "healthy":
        return f"healthy {crop} leaf"
    return f"{crop} leaf with {CONDITIONS.get(condition, condition.replace('_', ' ').lower())}"


@DATASET_REGISTRY.register()
class PlantVillage(Source):
    """No official split: each class is split 50/20/30.

    Class folders become phrases as in the literature. If the released split_dk_PlantVillage.json is present, its
    phrases are used instead.
    """

    folders = ("PlantVillage",)
    images = "Plant_leave_diseases_dataset_without_augmentation"
    split_files = ("split_dk_PlantVillage.json",)
    task_name = "plant leaf disease"
    template = "a photo of a plant leaf with {} disease."
    facts = Facts(
        classes=39,
        images=55448,
        split=None,
        licence="see its page",
        size="850 MB",
        home="https://data.mendeley.com/datasets/tywbtsjrjv/1",
        downloads=(
            Download(
                "https://data.mendeley.com/public-files/datasets/tywbtsjrjv/files/d5652a28-c1d8-4b76-97f3-72fb80f94efc/"
                "file_downloaded",
                "PlantVillage",
                unpack=True,
            ),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(folder / cls.images, phrase)
