"""FGVC-Aircraft (Maji et al., 2013): 100 variants of aircraft, in the release's own three splits."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, from_lists, read_lines, read_list
from datasets.places import find_file
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class FGVCAircraft(Source):
    folders = ("fgvc_aircraft", "fgvc-aircraft-2013b")
    images = "images"
    image_places = ("data/images",)
    task_name = "aircraft model"
    template = "a photo of a {}, a type of aircraft."
    metric = "C"
    class_names = {"F-16A_B": "F-16A/B", "F-16AB": "F-16A/B", "F_A-18": "F/A-18", "FA-18": "F/A-18"}  # of class folders
    facts = Facts(
        classes=100,
        images=10000,
        split=(3334, 3333, 3333),
        licence="non-commercial research only",
        size="2.8 GB",
        home="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
                "",
                "d4acdd33327262359767eeaa97a4f732",
                unpack=True,
            ),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        variants_file = find_file(folder, "variants.txt", "data/variants.txt")
        if variants_file is None:
            return super().read(folder)
        data = variants_file.parent
        variants = read_lines(variants_file)

        def parse(line: str) -> tuple[str, str]:
            image, variant = line.split(" ", 1)
            return f"{image}.jpg", variant

        parts = {
            part: read_list(data / f"images_variant_{part}.txt", parse, data / cls.images, folder, set(variants))
            for part in ("train", "val", "test")
        }
        return from_lists(variants, str, **parts)
