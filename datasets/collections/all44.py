"""All-44: General-10, Plant-6, RS-8 and Fashion-20 together: 44 tasks, 1593 classes."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.collections.general10 import General10
from datasets.collections.plant6 import Plant6
from datasets.collections.rs8 import RS8
from datasets.source import Part, SourceCollection
from datasets.sources.fashion20 import Fashion20


@DATASET_REGISTRY.register()
class All44(SourceCollection):
    """The tasks of the four collections, in their order."""

    parts = (*General10.parts, *Plant6.parts, *RS8.parts, Part(Fashion20))
