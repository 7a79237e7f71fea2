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
        downloads=(
            Download(
                "https://github.com/CAPTAIN-WHU/BED4RS/raw/main/datasets/WHU-RS19.zip",
                "",
                unpack=True,
                sha256="1b6dc34bcc7ea50c45c7fc74cd41ece25121412eaa923c9b4a30b482c1347cf0",
                size=102_429_601,
            ),
        ),
    )
