"""PlantVillage, release without augmentation (Geetharamani and Pandian, 2019): leaves of 14 crops, 38 conditions, and
background."""

from __future__ import annotations

import re

from dassl.data.datasets import DATASET_REGISTRY

from datasets.places import plain
from datasets.source import Download, Facts, Source

# The released SoftCPT code's phrases.
PHRASES = {
    "Apple___Apple_scab": "apple leaf with scab disease",
    "Apple___Black_rot": "apple leaf with black rot",
    "Apple___Cedar_apple_rust": "apple leaf with cedar apple rust",
    "Apple___healthy": "healthy apple leaf",
    "Background_without_leaves": "background without leaves",
    "Blueberry___healthy": "healthy blueberry leaf",
    "Cherry___Powdery_mildew": "cherry leaf with powdery mildew",
    "Cherry___healthy": "healthy cherry leaf",
    "Corn___Cercospora_leaf_spot Gray_leaf_spot": "corn leaf with cercospora leaf spot or gray leaf spot",
    "Corn___Common_rust": "corn leaf with common rust",
    "Corn___Northern_Leaf_Blight": "corn leaf with northern leaf blight",
    "Corn___healthy": "healthy corn leaf",
    "Grape___Black_rot": "grape leaf with black rot",
    "Grape___Esca_(Black_Measles)": "grape leaf with black measles",
    "Grape___Leaf_blight_(Isariopsis_Leaf_Spot)": "grape leaf with leaf blight",
    "Grape___healthy": "healthy grape leaf",
    "Orange___Haunglongbing_(Citrus_greening)": "orange leaf with citrus greening disease",
    "Peach___Bacterial_spot": "peach leaf with bacterial spot",
    "Peach___healthy": "healthy peach leaf",
    "Pepper,_bell___Bacterial_spot": "pepper with bacterial spot",
    "Pepper,_bell___healthy": "healthy pepper leaf",
    "Potato___Early_blight": "potato leaf with early blight",
    "Potato___Late_blight": "potato leaf with late blight",
    "Potato___healthy": "healthy potato leaf",
    "Raspberry___healthy": "healthy raspberry leaf",
    "Soybean___healthy": "healthy soybean leaf",
    "Squash___Powdery_mildew": "squash with powdery mildew",
    "Strawberry___Leaf_scorch": "strawberry leaf with scorch disease",
    "Strawberry___healthy": "healthy strawberry leaf",
    "Tomato___Bacterial_spot": "tomato leaf with bacterial spot",
    "Tomato___Early_blight": "tomato leaf with early blight",
    "Tomato___Late_blight": "tomato leaf with late blight",
    "Tomato___Leaf_Mold": "tomato leaf with mold",
    "Tomato___Septoria_leaf_spot": "tomato leaf with septoria leaf spot",
    "Tomato___Spider_mites Two-spotted_spider_mite": "tomato leaf with spider mites or two-spotted spider mite",
    "Tomato___Target_Spot": "tomato leaf with target spot",
    "Tomato___Tomato_Yellow_Leaf_Curl_Virus": "tomato leaf with tomato yellow leaf curl virus",
    "Tomato___Tomato_mosaic_virus": "tomato leaf with tomato mosaic virus",
    "Tomato___healthy": "healthy tomato leaf",
}


def without_brackets(name: str) -> str:
    """A folder's name without what is in brackets, letter case and punctuation."""
    return plain(re.sub(r"\([^)]*\)", "", name))


def original_name(folder: str) -> str:
    """The name in this release of a class folder that a copy on GitHub or Kaggle spells differently.

    >>> original_name("Corn_(maize)___Common_rust_"), original_name("Tomato__Tomato_YellowLeaf__Curl_Virus")
    ('Corn___Common_rust', 'Tomato___Tomato_Yellow_Leaf_Curl_Virus')
    """
    if folder in PHRASES:
        return folder
    for spelling in (plain, without_brackets):
        same = {spelling(name): name for name in PHRASES}
        if spelling(folder) in same:
            return same[spelling(folder)]
    return folder


def phrase(folder: str) -> str:
    """The name of a class folder in a prompt.

    >>> [phrase(name) for name in ("Apple___Apple_scab", "Cherry_(including_sour)___healthy", "Rice___Brown_spot")]
    ['apple leaf with scab disease', 'healthy cherry leaf', 'rice leaf with brown spot']
    """
    name = original_name(folder)
    if name in PHRASES:
        return PHRASES[name]
    parts = (re.sub(r"\([^)]*\)", "", part).replace("_", " ").lower() for part in name.split("___", 1))
    crop, *conditions = (" ".join(part.split()) for part in parts)
    if not conditions:
        return crop
    condition = conditions[0]
    return f"healthy {crop} leaf" if condition == "healthy" else f"{crop} leaf with {condition}"


@DATASET_REGISTRY.register()
class PlantVillage(Source):
    """No official split: each class is split 50/20/30.

    Class folders become the released code's phrases. If the released split_dk_PlantVillage.json is present, its phrases
    are used instead.
    """

    folders = ("PlantVillage",)
    aliases = ("PlantVillage-Dataset", "plantdisease", "new-plant-diseases-dataset")
    images = "Plant_leave_diseases_dataset_without_augmentation"
    image_places = ("raw/color", "color", "plantvillage dataset/color")
    split_files = ("split_dk_PlantVillage.json",)
    task_name = "plant leaf disease"
    template = "a photo of a plant leaf with {} disease."
    class_names = PHRASES
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
                sha256="ac3432453984d02a86197987e775a5429d0d59e7cc7c35bcf5a8f50349b90ff0",
                size=868_032_562,
            ),
        ),
    )

    @classmethod
    def key(cls, folder: str) -> str:
        return original_name(folder)

    @classmethod
    def classname(cls, key: str) -> str:
        return phrase(key)
