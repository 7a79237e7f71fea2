"""Fruits and Vegetables Image Recognition (Kaggle, 2020): 36 fruits and vegetables."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, Source


@DATASET_REGISTRY.register()
class FruitVegetable(Source):
    """Uses the release's own split.

    The released SoftCPT code splits each of the three folders 50/20/30 again and merges the pieces, so it trains on
    official test images, and its split depends on the machine that drew it. If its split_dk_FruitVegetable.json is
    present, it is used here too. The class order is the same either way: class folders in alphabetical order. Class
    names keep the folders' spelling ("jalepeno", "raddish", "sweetpotato"), since published figures were obtained with
    it.
    """

    folders = ("fruit_vegetable",)
    aliases = ("fruit-and-vegetable-image-recognition",)
    images = "images"
    own_split = True
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
            "Unpack it into fruit_vegetable/images, which should then contain train/, validation/ and test/ "
            "with 36 folders each.",
        ),
    )
