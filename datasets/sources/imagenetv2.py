"""ImageNetV2 (Recht et al., ICML 2019), matched frequency: a second test set for ImageNet."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.layouts import Release, class_folders, find_subfolder
from datasets.source import Download, Facts
from datasets.sources.imagenet import CLASSNAMES, ImageNetVariant, read_classnames


@DATASET_REGISTRY.register()
class ImageNetV2(ImageNetVariant):
    """Class folders are numbered: folder k holds the k-th class of classnames.txt, counted from 0."""

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
            ),
            Download(CLASSNAMES, "imagenetv2/classnames.txt"),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        names = list(read_classnames(folder).items())
        place = find_subfolder(folder, *cls.unpacked)
        numbers, _, samples = class_folders(place)
        for number in numbers:
            if not (number.isdecimal() and int(number) < len(names)):
                raise InputError(
                    f"{place / number} is not a class folder: these are called 0 to {len(names) - 1}, one per class in "
                    "classnames.txt; remove it, or fetch classnames.txt again."
                )
        order = sorted(range(len(numbers)), key=lambda i: int(numbers[i]))
        index = {i: k for k, i in enumerate(order)}
        keys, classnames = zip(*(names[int(numbers[i])] for i in order), strict=True)
        test = sorted(((file, index[i]) for file, i in samples), key=lambda sample: sample[1])
        return Release(keys, classnames, [], [], test)
