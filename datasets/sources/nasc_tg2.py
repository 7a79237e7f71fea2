"""NaSC-TG2 (Zhou et al., IEEE JSTARS 2021): 10 natural scenes, 2,000 images each, from the satellite Tiangong-2."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, find_subfolder, one_pool, scene_phrase
from datasets.source import Facts, Source

CLASSNAMES = {"circularfarmland": "circular farmland", "rectangularfarmland": "rectangular farmland"}


@DATASET_REGISTRY.register()
class NaSCTG2(Source):
    """No official split: each class is split 50/20/30. The RGB images are read, not the multispectral ones."""

    folders = ("NaSC-TG2",)
    task_name = "natural scene from space"
    template = "a satellite photo of {}."
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

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(find_subfolder(folder, "NaSC-TG2", ""), lambda name: CLASSNAMES.get(name, scene_phrase(name)))
