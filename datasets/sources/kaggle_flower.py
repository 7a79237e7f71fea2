"""Flowers Recognition (Mamaev, Kaggle): 5 flowers."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, Source


@DATASET_REGISTRY.register()
class KaggleFlower(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("kaggle_flower_recognition",)
    aliases = ("flowers-recognition", "kaggle_flower")
    images = "flowers"
    ignore = ("flowers",)  # early archives contain a copy of all classes in flowers/flowers
    split_files = ("split_dk_kaggle_flower.json",)
    task_name = "common flower"
    template = "a photo of a {}, a type of flower."
    facts = Facts(
        classes=5,
        images=4317,
        split=None,
        licence="see its Kaggle page",
        size="about 230 MB",
        home="https://www.kaggle.com/datasets/alxmamaev/flowers-recognition",
        steps=(
            "Log in to Kaggle and download https://www.kaggle.com/datasets/alxmamaev/flowers-recognition",
            "Unpack it into kaggle_flower_recognition/, which should then contain flowers/ with 5 folders.",
        ),
    )
