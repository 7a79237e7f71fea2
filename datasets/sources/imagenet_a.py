"""ImageNet-A (Hendrycks et al., CVPR 2021): 200 of ImageNet's classes in photographs that mislead networks."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts
from datasets.sources.imagenet import CLASSNAMES, ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetA(ImageNetVariant):
    folders = ("imagenet-adversarial", "imagenet-a")
    unpacked = ("imagenet-a", "")
    facts = Facts(
        classes=200,
        images=7500,
        split=(0, 0, 7500),
        licence="MIT",
        size="688 MB",
        home="https://github.com/hendrycks/natural-adv-examples",
        downloads=(
            Download(
                "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
                "imagenet-adversarial",
                "c3e55429088dc681f30d81f4726b6595",
                unpack=True,
            ),
            Download(CLASSNAMES, "imagenet-adversarial/classnames.txt"),
        ),
    )
