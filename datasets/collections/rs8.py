"""RS-8: eight data sets of remote sensing scenes, 208 classes."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Part, SourceCollection
from datasets.sources.aid import AID
from datasets.sources.nasc_tg2 import NaSCTG2
from datasets.sources.optimal31 import OPTIMAL31
from datasets.sources.resisc45 import RESISC45
from datasets.sources.rsicb128 import RSICB128
from datasets.sources.rsscn7 import RSSCN7
from datasets.sources.ucmerced import UCMerced
from datasets.sources.whurs19 import WHURS19


@DATASET_REGISTRY.register()
class RS8(SourceCollection):
    """The choice of data sets is our interpretation: neither the released code nor the published table names them.

    These eight have 208 classes in total, which is the published number. The metric of all tasks is overall accuracy.
    Task names, templates and class names are our choice too.
    """

    parts = (
        Part(AID),
        Part(RESISC45),
        Part(OPTIMAL31),
        Part(RSICB128),
        Part(RSSCN7),
        Part(NaSCTG2),
        Part(UCMerced),
        Part(WHURS19),
    )
