"""Caltech-101 (Fei-Fei et al., CVPR Workshop 2004): 100 kinds of objects, as the literature counts them."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class Caltech101(Source):
    folders = ("caltech-101", "caltech101")
    images = "101_ObjectCategories"
    split_files = ("split_zhou_Caltech101.json", "split_dk_Caltech101.json")
    task_name = "object category"
    metric = "C"
    class_names = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"}
    # Google's pictures do not belong to any class, and the easy faces are crops of those in Faces.
    ignore = ("BACKGROUND_Google", "Faces_easy")
    facts = Facts(
        classes=100,
        images=8242,  # the release has 9,144, including the two excluded folders
        split=(4128, 1649, 2465),
        licence="CC BY 4.0",
        size="137 MB",
        home="https://data.caltech.edu/records/mzrjq-6wc02",
        downloads=(
            Download(
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "",
                "3138e1922a9193bfa496528edbbc45d0",
                unpack=True,
            ),
            Download("gdrive:1hyarUivQE36mY6jSomru6Fjd-JzwcCzN", "caltech-101/split_zhou_Caltech101.json"),
        ),
    )
