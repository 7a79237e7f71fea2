"""Oxford 102 Flowers (Nilsback and Zisserman, ICVGIP 2008): 102 flower species."""

from __future__ import annotations

import json
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.layouts import Release, check_files, read_mat
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class OxfordFlowers(Source):
    """The literature splits all images again, so setid.mat (1,020 / 1,020 / 6,149 images) is not used."""

    folders = ("oxford_flowers", "flowers-102")
    images = "jpg"
    split_files = ("split_zhou_OxfordFlowers.json", "split_dk_OxfordFlowers.json")
    task_name = "flower species"
    template = "a photo of a {}, a type of flower."
    metric = "C"
    facts = Facts(
        classes=102,
        images=8189,
        split=(4093, 1633, 2463),
        licence="not stated",
        size="345 MB",
        home="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
                "oxford_flowers",
                "52808999861908f626f3c1f4e79d11fa",
                unpack=True,
            ),
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/imagelabels.mat",
                "oxford_flowers/imagelabels.mat",
                "e0620be6f572b9609742df49c70aed4d",
            ),
            Download("gdrive:1AkcxCXeK_RCGCEC_GvmWxjcjaNhu-at0", "oxford_flowers/cat_to_name.json"),
            Download("gdrive:1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT", "oxford_flowers/split_zhou_OxfordFlowers.json"),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        labels = [int(label) for label in read_mat(folder / "imagelabels.mat", "labels")]
        names = _read_names(folder / "cat_to_name.json")
        order = sorted(set(labels))
        keys = tuple(map(str, order))
        for key in keys:
            if key not in names:
                raise InputError(f"{folder / 'cat_to_name.json'} does not name flower {key}; fetch it again.")
        index = {label: i for i, label in enumerate(order)}
        samples = [
            (f"{folder}/{cls.images}/image_{number:05}.jpg", index[label]) for number, label in enumerate(labels, 1)
        ]
        check_files((file for file, _ in samples), str(folder / "imagelabels.mat"))
        return Release(keys, tuple(str(names[key]) for key in keys), samples)


def _read_names(path: Path) -> dict[str, str]:
    """Read the flowers' names by number (as text)."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}, the list of flower names, cannot be read ({error}); "
            "`bash scripts/datasets/prepare.sh oxford_flowers` fetches it."
        ) from None
    if not isinstance(names, dict):
        raise InputError(f"{path} does not map numbers to flower names; fetch it again.")
    return names
