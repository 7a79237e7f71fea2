"""OPTIMAL-31 (Wang et al., IEEE TGRS 2019): 31 scenes, 60 images each, from Google Earth."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Facts, SceneSource


@DATASET_REGISTRY.register()
class OPTIMAL31(SceneSource):
    """No official split: each class is split 50/20/30."""

    folders = ("OPTIMAL-31", "Optimal-31")
    images = "Images"
    task_name = "scene seen from above"
    facts = Facts(
        classes=31,
        images=1860,
        split=None,
        licence="see its page",
        size="not stated",
        home="https://doi.org/10.1109/TGRS.2018.2864987",
        steps=(
            "Download OPTIMAL-31 through its authors' link (Q. Wang, https://crabwq.github.io/).",
            "Unpack it as OPTIMAL-31/, which should then contain Images/ with 31 folders, airplane to runway.",
        ),
    )
