"""NaSC-TG2 (Zhou et al., IEEE JSTARS 2021): 10 natural scenes, 2,000 images each, by the satellite Tiangong-2."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, inside, one_pool, scene
from datasets.source import Facts, Source

READABLE = {"circularfarmland": "circular farmland", "rectangularfarmland": "rectangular farmland"}


@DATASET_REGISTRY.register()
class NaSCTG2(Source):
    """No official split: 50/20/30 within every class. The RGB images are read, not the multispectral ones."""

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
            "Unpack them as NaSC-TG2, which then holds 10 folders from beach to snowberg.",
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        return one_pool(inside(folder, "NaSC-TG2", ""), lambda name: READABLE.get(name, scene(name)))
