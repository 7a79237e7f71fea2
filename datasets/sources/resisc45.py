"""NWPU-RESISC45 (Cheng et al., Proceedings of the IEEE 2017): 45 scenes, 700 images each, from Google Earth."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, SceneSource


@DATASET_REGISTRY.register()
class RESISC45(SceneSource):
    """No official split: each class is split 50/20/30."""

    folders = ("NWPU-RESISC45",)
    aliases = ("RESISC45", "nwpu-data-set")
    image_places = ("NWPU-RESISC45",)
    task_name = "remote sensing scene"
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
                "https://hf.co/datasets/isaaccorley/resisc45/resolve/883edc0eee77b2c84225472f10f126e3ed83fa6e/"
                "NWPU-RESISC45.zip",
                "",
                "75206b2e16446591afa88e2628744886",
                unpack=True,
            ),
        ),
    )
