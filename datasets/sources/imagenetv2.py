"""ImageNetV2 (Recht et al., ICML 2019), matched frequency: a second test set for ImageNet."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.layouts import Release, class_folders
from datasets.source import Download, Facts
from datasets.sources.imagenet import CLASSNAMES, ImageNetVariant, find_names


@DATASET_REGISTRY.register()
class ImageNetV2(ImageNetVariant):
    """Class folders are numbered: folder k holds the k-th class in the order of ids, counted from 0."""

    folders = ("imagenetv2", "imagenetv2-matched-frequency-format-val")
    unpacked = ("imagenetv2-matched-frequency-format-val", "")
    facts = Facts(
        classes=1000,
        images=10000,
        split=(0, 0, 10000),
        licence="MIT",
        size="1.3 GB",
        home="https://github.com/modestyachts/ImageNetV2",
        downloads=(
            Download(
                "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz",
                "imagenetv2",
                unpack=True,
                sha256="f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c",
                size=1_264_079_360,
            ),
            Download(CLASSNAMES, "imagenetv2/classnames.txt"),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        place = cls.class_parent(folder)
        folders, _, samples = class_folders(place)
        if not any(name.isdecimal() for name in folders):  # a release of December 2020 has ids
            return super().read(folder)
        listed = find_names(folder)
        names = sorted(listed.by_id.items()) or [(str(k), name) for k, name in enumerate(listed.in_order)]
        if len(names) > cls.facts.classes:
            raise InputError(
                f"{listed.path} has {len(names):,} names, so the class of {place / folders[0]} is not known; use a "
                f"list of ImageNet's {cls.facts.classes:,} classes, such as CoOp's classnames.txt."
            )
        for number in folders:
            if not (number.isdecimal() and int(number) < len(names)):
                raise InputError(
                    f"{place / number} is not a class folder: these are called 0 to {len(names) - 1}, one per class in "
                    f"{listed.path.name}; remove it, or fetch {listed.path.name} again."
                )
        order = sorted(range(len(folders)), key=lambda i: int(folders[i]))
        index = {i: k for k, i in enumerate(order)}
        keys, classnames = zip(*(names[int(folders[i])] for i in order), strict=True)
        test = sorted(((file, index[i]) for file, i in samples), key=lambda sample: sample[1])
        return Release(keys, classnames, [], [], test)
