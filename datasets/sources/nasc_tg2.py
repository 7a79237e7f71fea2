"""NaSC-TG2 (Zhou et al., IEEE JSTARS 2021): 10 natural scenes, 2,000 images each, from the satellite Tiangong-2."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, SceneSource


@DATASET_REGISTRY.register()
class NaSCTG2(SceneSource):
    """No official split: each class is split 50/20/30. The RGB images are read, not the multispectral ones."""

    folders = ("NaSC-TG2",)
    image_places = ("NaSC-TG2", "RGB", "NaSC_TG2_RGB")
    task_name = "natural scene from space"
    class_names = {"circularfarmland": "circular farmland", "rectangularfarmland": "rectangular farmland"}
    facts = Facts(
        classes=10,
        images=20000,
        split=None,
        licence="see its page",
        size="not stated",
        home="https://captain-whu.github.io/BED4RS/#description-nasc-tg2",
        steps=(
            "Register at http://www.msadc.cn and download the RGB images of NaSC-TG2 "
            "(http://www.msadc.cn/main/setsubDetail?id=1370312964720037889).",
            "Unpack them as NaSC-TG2/, which should then contain 10 folders, beach to snowberg.",
        ),
    )
