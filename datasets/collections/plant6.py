"""Plant-6: six data sets of plants, 116 classes."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Part, SourceCollection
from datasets.sources.fruit_vegetable import FruitVegetable
from datasets.sources.kaggle_flower import KaggleFlower
from datasets.sources.kaggle_mushroom import KaggleMushroom
from datasets.sources.kaggle_vegetable import KaggleVegetable
from datasets.sources.plant_seedling import PlantSeedlingV1
from datasets.sources.plant_village import PlantVillage


@DATASET_REGISTRY.register()
class Plant6(SourceCollection):
    """The metric of all tasks is overall accuracy."""

    parts = (
        Part(FruitVegetable),
        Part(KaggleFlower),
        Part(KaggleMushroom),
        Part(KaggleVegetable),
        Part(PlantSeedlingV1),
        Part(PlantVillage),
    )
