"""Food-101 (Bossard et al., ECCV 2014): 101 dishes."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class Food101(Source):
    """The literature splits all images again: its test set has 300 images per dish, not the 250 of meta/test.txt. The
    lists in meta/ are not used, because results on them would not be comparable."""

    folders = ("food-101",)
    aliases = ("food41",)
    images = "images"
    split_files = ("split_zhou_Food101.json", "split_dk_Food101.json")
    task_name = "dish"
    template = "a photo of {}, a type of food."
    facts = Facts(
        classes=101,
        images=101000,
        split=(50500, 20200, 30300),
        licence="scientific fair use (pictures from Foodspotting)",
        size="5 GB",
        home="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        downloads=(
            Download(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "", "85eeb15f3717b99a5da872d97d918f87", unpack=True
            ),
            Download("gdrive:1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl", "food-101/split_zhou_Food101.json"),
        ),
    )
