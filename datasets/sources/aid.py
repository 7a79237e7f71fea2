"""AID (Xia et al., IEEE TGRS 2017): aerial images of 30 scenes from Google Earth."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, SceneSource


@DATASET_REGISTRY.register()
class AID(SceneSource):
    """No official split: each class is split 50/20/30."""

    folders = ("AID",)
    aliases = ("AID_dataset", "aid-scene-classification-datasets")
    image_places = ("AID", "AID_dataset/AID")
    task_name = "aerial scene"
    facts = Facts(
        classes=30,
        images=10000,
        split=None,
        licence="see its page",
        size="about 2.5 GB",
        home="https://captain-whu.github.io/AID/",
        steps=(
            "Download AID from OneDrive or Baidu Pan through the links on https://captain-whu.github.io/AID/",
            "Unpack it as AID/, which should then contain 30 folders, Airport to Viaduct.",
        ),
    )
