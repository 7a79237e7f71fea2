"""Vegetable Image Dataset (Ahmed et al., 2021, Kaggle): 15 vegetables."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, Source


@DATASET_REGISTRY.register()
class KaggleVegetable(Source):
    """Uses the release's own split: 15,000 images for training, 3,000 for validation, 3,000 for testing.

    The released SoftCPT code reads the same three folders below ``images`` and splits each of them 50/20/30 again; we
    keep official test images out of training, for the reasons given at `FruitVegetable`. If its
    split_dk_KaggleVegetable.json is present, it is used; labels are in the same alphabetical order.
    """

    folders = ("kaggle_vegetable",)
    aliases = ("vegetable-image-dataset",)
    images = "images"
    image_places = ("Vegetable Images",)
    own_split = True
    split_files = ("split_dk_KaggleVegetable.json",)
    task_name = "vegetable"
    template = "a photo of a {}, a type of vegetable."
    facts = Facts(
        classes=15,
        images=21000,
        split=(15000, 3000, 3000),
        licence="see its Kaggle page",
        size="about 550 MB",
        home="https://www.kaggle.com/datasets/misrakahmed/vegetable-image-dataset",
        steps=(
            "Log in to Kaggle and download https://www.kaggle.com/datasets/misrakahmed/vegetable-image-dataset",
            "Unpack it into kaggle_vegetable/, which should then contain Vegetable Images/ with train/, validation/ "
            "and test/, 15 folders each.",
        ),
    )
