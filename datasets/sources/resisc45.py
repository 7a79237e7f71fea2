"""NWPU-RESISC45 (Cheng et al., Proceedings of the IEEE 2017): 45 scenes, 700 images each, from Google Earth."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, one_pool, scene_phrase
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class RESISC45(Source):
    """No official split: each class is split 50/20/30."""

    folders = ("NWPU-RESISC45",)
    task_name = "remote sensing scene"
    template = "a satellite photo of {}."
    facts = Facts(
        classes=45,
        images=31500,
        split=None,
        licence="CC BY-NC 4.0 according to TorchGeo's copy",
        size="430 MB",
        home="https://gcheng-nwpu.github.io/#Datasets",
        downloads=(
            # The original is on OneDrive; TorchGeo uses this copy and checksum.
            Download(
                "https://hf.co/datasets/torchgeo/resisc45/resolve/a826b44d938a883185f11ebe3d512d38b464312f/"
                "NWPU-RESISC45.zip",
                "",
                "75206b2e16446591afa88e2628744886",
                unpack=True,
            ),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(find_subfolder(folder, "NWPU-RESISC45", ""), scene_phrase)
