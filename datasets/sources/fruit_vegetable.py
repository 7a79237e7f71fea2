"""Fruits and Vegetables Image Recognition (Kaggle, 2020): 36 fruits and vegetables."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, inside, official_split
from datasets.source import Facts, Source


@DATASET_REGISTRY.register()
class FruitVegetable(Source):
    """Split as the release is.

    The released SoftCPT code splits each of the three folders 50/20/30 once more and puts the pieces together, so that
    official test images are trained on and the split depends on the machine that drew it; with its
    split_dk_FruitVegetable.json at hand its split is used here too. Class order is the same either way: class folders
    in alphabetical order. Class names are the folders' own, their spelling included ("jalepeno", "raddish",
    "sweetpotato"), since published figures were obtained with them.
    """

    folders = ("fruit_vegetable",)
    images = "images"
    split_files = ("split_dk_FruitVegetable.json",)
    task_name = "fruit and vegetable"
    template = "a photo of a {}, a type of fruit or vegetable."
    facts = Facts(
        classes=36,
        images=3825,
        split=(3115, 351, 359),
        licence="see its Kaggle page",
        size="about 2 GB",
        home="https://www.kaggle.com/datasets/kritikseth/fruit-and-vegetable-image-recognition",
        steps=(
            "Log in to Kaggle and download "
            "https://www.kaggle.com/datasets/kritikseth/fruit-and-vegetable-image-recognition",
            "Unpack it in fruit_vegetable/images, which then holds train/, validation/ and test/ with 36 folders each.",
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return official_split(inside(folder, cls.images, ""))
