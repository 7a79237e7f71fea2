"""WHU-RS19 (Xia et al., 2010; Dai and Yang, IEEE GRSL 2011): 19 scenes of about 50 images from Google Earth."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, SceneSource


@DATASET_REGISTRY.register()
class WHURS19(SceneSource):
    """No official split: each class is split 50/20/30."""

    folders = ("WHU-RS19",)
    image_places = ("WHU-RS19",)
    task_name = "high-resolution satellite scene"
    facts = Facts(
        classes=19,
        images=1005,
        split=None,
        licence="see its page",
        size="102 MB",
        home="https://captain-whu.github.io/BED4RS/",
        downloads=(Download("https://github.com/CAPTAIN-WHU/BED4RS/raw/main/datasets/WHU-RS19.zip", "", unpack=True),),
    )
