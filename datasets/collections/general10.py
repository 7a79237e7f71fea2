"""General-10: ten data sets of general and fine-grained classes, 1191 classes."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Part, SourceCollection
from datasets.sources.caltech101 import Caltech101
from datasets.sources.dtd import DescribableTextures
from datasets.sources.eurosat import EuroSAT
from datasets.sources.fgvc_aircraft import FGVCAircraft
from datasets.sources.food101 import Food101
from datasets.sources.oxford_flowers import OxfordFlowers
from datasets.sources.oxford_pets import OxfordPets
from datasets.sources.stanford_cars import StanfordCars
from datasets.sources.sun397 import SUN397
from datasets.sources.ucf101 import UCF101


@DATASET_REGISTRY.register()
class General10(SourceCollection):
    """The metric is mean per-class accuracy for Caltech101, aircraft, flowers and pets, else overall accuracy."""

    parts = (
        Part(Caltech101),
        Part(DescribableTextures),
        Part(EuroSAT),
        Part(FGVCAircraft),
        Part(Food101),
        Part(OxfordFlowers),
        Part(OxfordPets),
        Part(StanfordCars),
        Part(SUN397),
        Part(UCF101),
    )
