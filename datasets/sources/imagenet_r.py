"""ImageNet-R (Hendrycks et al., ICCV 2021): 200 of ImageNet's classes in art, toys, cartoons and other renditions."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts
from datasets.sources.imagenet import CLASSNAMES, ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetR(ImageNetVariant):
    folders = ("imagenet-rendition", "imagenet-r")
    unpacked = ("imagenet-r", "")
    facts = Facts(
        classes=200,
        images=30000,
        split=(0, 0, 30000),
        licence="MIT",
        size="2.2 GB",
        home="https://github.com/hendrycks/imagenet-r",
        downloads=(
            Download(
                "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
                "imagenet-rendition",
                "a61312130a589d0ca1a8fca1f2bd3337",
                unpack=True,
            ),
            Download(CLASSNAMES, "imagenet-rendition/classnames.txt"),
        ),
    )
