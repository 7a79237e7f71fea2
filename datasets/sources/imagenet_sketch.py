"""ImageNet-Sketch (Wang et al., NeurIPS 2019): ImageNet's classes as drawings."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts
from datasets.sources.imagenet import CLASSNAMES, ImageNetVariant


@DATASET_REGISTRY.register()
class ImageNetSketch(ImageNetVariant):
    folders = ("imagenet-sketch",)
    unpacked = ("images", "sketch")  # CoOp's name, the archive's name
    facts = Facts(
        classes=1000,
        images=50889,
        split=(0, 0, 50889),
        licence="MIT",
        size="7.8 GB",
        home="https://github.com/HaohanWang/ImageNet-Sketch",
        downloads=(
            Download("gdrive:1Mj0i5HBthqH1p_yeXzsg22gZduvgoNeA", "imagenet-sketch", unpack=True),
            Download(CLASSNAMES, "imagenet-sketch/classnames.txt"),
        ),
    )
