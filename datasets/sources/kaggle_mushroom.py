"""Mushrooms classification - Common genus's images (Kaggle): 9 genera of northern Europe."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, Source


@DATASET_REGISTRY.register()
class KaggleMushroom(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("kaggle_mushroom",)
    aliases = ("mushrooms-classification-common-genuss-images",)
    images = "Mushrooms"
    split_files = ("split_dk_KaggleMushroom.json",)
    task_name = "mushroom genus"
    template = "a photo of a {}, a type of mushroom."
    facts = Facts(
        classes=9,
        images=6714,
        split=None,
        licence="see its Kaggle page",
        size="about 2 GB",
        home="https://www.kaggle.com/datasets/maysee/mushrooms-classification-common-genuss-images",
        steps=(
            "Log in to Kaggle and download "
            "https://www.kaggle.com/datasets/maysee/mushrooms-classification-common-genuss-images",
            "Unpack it into kaggle_mushroom/, which should then contain Mushrooms/ with 9 folders.",
        ),
    )
