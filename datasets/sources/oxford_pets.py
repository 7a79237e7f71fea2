"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012): 37 breeds of cats and dogs."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, from_lists, read_list
from datasets.places import find_file
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class OxfordPets(Source):
    folders = ("oxford_pets", "oxford-iiit-pet")
    aliases = ("the-oxfordiiit-pet-dataset", "OxfordIIITPet")
    images = "images"
    split_files = ("split_zhou_OxfordPets.json", "split_dk_OxfordPets.json")
    task_name = "pet breed"
    template = "a photo of a {}, a type of pet."
    metric = "C"
    facts = Facts(
        classes=37,
        images=7349,
        split=(2944, 736, 3669),
        licence="CC BY-SA 4.0",
        size="811 MB",
        home="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                "oxford_pets",
                "5c4f3ee8e5d25df40f4fd59a7f44e54c",
                unpack=True,
            ),
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                "oxford_pets",
                "95a8c909bbe2e81eed6a22bccdf3f68f",
                unpack=True,
            ),
            Download("gdrive:1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs", "oxford_pets/split_zhou_OxfordPets.json"),
        ),
    )

    @classmethod
    def classname(cls, key: str) -> str:
        return key.lower().replace("_", " ")

    @classmethod
    def read(cls, folder: Path) -> Release:
        lists = [find_file(folder, f"annotations/{part}.txt", f"{part}.txt") for part in ("trainval", "test")]
        if None in lists:
            return super().read(folder)
        # Only image names contain the breeds' names; the breeds' numbers give their order.
        numbers: dict[str, int] = {}

        def parse(line: str) -> tuple[str, str]:
            image, number, _species, _number_in_species = line.split()
            breed = image.rpartition("_")[0]
            numbers.setdefault(breed, int(number))
            return f"{image}.jpg", breed

        train, test = (read_list(path, parse, cls.image_folder(folder), folder) for path in lists if path)
        order = sorted(numbers, key=numbers.__getitem__)
        return from_lists(order, cls.classname, train=train, test=test)
