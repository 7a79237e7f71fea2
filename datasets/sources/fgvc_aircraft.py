"""FGVC-Aircraft (Maji et al., 2013): 100 variants of aircraft, in the release's own three splits."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, from_lists, read_lines, read_list
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class FGVCAircraft(Source):
    folders = ("fgvc_aircraft", "fgvc-aircraft-2013b")
    images = "images"
    task_name = "aircraft model"
    template = "a photo of a {}, a type of aircraft."
    metric = "C"
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
                unpack=True,
            ),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        data = find_subfolder(folder, "data", "")  # CoOp keeps only the archive's data/, renamed
        variants = read_lines(data / "variants.txt")

        def parse(line: str) -> tuple[str, str]:
            image, variant = line.split(" ", 1)
            return f"{data}/{cls.images}/{image}.jpg", variant

        parts = {p: read_list(data / f"images_variant_{p}.txt", parse, set(variants)) for p in ("train", "val", "test")}
        return from_lists(variants, str, **parts)
