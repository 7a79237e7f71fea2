"""Describable Textures (Cimpoi et al., CVPR 2014): 47 textures."""

from __future__ import annotations

from dassl.data.datasets import DATASET_REGISTRY

from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class DescribableTextures(Source):
    """The literature splits all images again, so the release's ten splits in labels/ are not used."""

    folders = ("dtd",)
    aliases = ("describable-textures-dataset-dtd", "dtd-r1.0.1")
    images = "images"
    image_places = ("dtd/images",)  # torchvision adds another dtd/
    split_files = ("split_zhou_DescribableTextures.json", "split_dk_DescribableTextures.json")
    task_name = "texture"
    template = "{} texture."
    facts = Facts(
        classes=47,
        images=5640,
        split=(2820, 1128, 1692),
        licence="research only",
        size="625 MB",
        home="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
                "",
                "fff73e5086ae6bdbea199a49dfb8a4c1",
                unpack=True,
            ),
            Download("gdrive:1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x", "dtd/split_zhou_DescribableTextures.json"),
        ),
    )
