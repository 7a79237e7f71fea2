"""ImageNet-1k (Russakovsky et al., IJCV 2015): 1,000 kinds of objects."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.fewshot import Samples
from datasets.layouts import Release, class_folders, find_subfolder, read_lines
from datasets.source import Download, Facts, Source

CLASSNAMES = "gdrive:1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF"  # CoOp's classnames.txt, which has CLIP's names


@DATASET_REGISTRY.register()
class ImageNet(Source):
    """Tested on the validation images, as is usual, since labels of the test images are not public; there is no
    validation split. Without the training images it is for testing only."""

    folders = ("imagenet",)
    images = "images"
    task_name = "object"
    facts = Facts(
        classes=1000,
        images=1331167,
        split=(1281167, 0, 50000),
        licence="non-commercial research and education only",
        size="144 GB",
        home="https://image-net.org/",
        downloads=(Download(CLASSNAMES, "imagenet/classnames.txt"),),
        steps=(
            "Log in at https://image-net.org/download-images and fetch ILSVRC2012_img_train.tar and "
            "ILSVRC2012_img_val.tar.",
            "Unpack both, and the archive of every class in ILSVRC2012_img_train.tar, so that "
            "imagenet/images/train/n01440764/n01440764_18.JPEG exists.",
            "Sort the validation images into class folders too (torchvision.datasets.ImageNet does both steps), so "
            "that imagenet/images/val/n01440764/ILSVRC2012_val_00000293.JPEG exists.",
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        names = read_classnames(folder)
        test_folder = find_subfolder(folder, "images/val", "val")
        keys, _, test = class_folders(test_folder)
        train_folder = find_subfolder(folder, "images/train", "train")
        train: Samples = []
        if train_folder.is_dir():
            train_keys, _, train = class_folders(train_folder)
            if train_keys != keys:
                stray = sorted(set(train_keys) ^ set(keys))[0]
                raise InputError(
                    f"Class folder {stray} is in only one of {train_folder} and {test_folder}; unpack both completely."
                )
        return Release(keys, tuple(class_name(key, names, folder) for key in keys), train, [], test)


class ImageNetVariant(Source):
    """Other images of ImageNet's classes, for testing models trained on ImageNet; there are no training images.

    Class folders are named after ImageNet's ids.
    """

    unpacked: tuple[str, ...]  # where class folders may be, below the data set's folder
    task_name = "object"

    @classmethod
    def read(cls, folder: Path) -> Release:
        names = read_classnames(folder)
        keys, _, samples = class_folders(find_subfolder(folder, *cls.unpacked))
        return Release(keys, tuple(class_name(key, names, folder) for key in keys), [], [], samples)


def read_classnames(folder: Path) -> dict[str, str]:
    """Read class names by id ("n01440764"), in file order, from the data set's own classnames.txt or ImageNet's."""
    places = (folder / "classnames.txt", folder.parent / "imagenet" / "classnames.txt")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        searched = " or ".join(dict.fromkeys(map(str, places)))
        raise InputError(
            f"Class names are not in {searched}; `bash scripts/datasets/prepare.sh imagenet` fetches classnames.txt."
        )
    names: dict[str, str] = {}
    for line in read_lines(path):
        key, _, name = line.partition(" ")
        if not name:
            raise InputError(f"{path}: line '{line}' is not an id and a class name; fetch the file again.")
        names[key] = name.strip()
    return names


def class_name(key: str, names: dict[str, str], folder: Path) -> str:
    """The name of a class; InputError if it is not in classnames.txt."""
    if key not in names:
        raise InputError(
            f"classnames.txt has no name for class '{key}', which has a folder in {folder}; remove the folder if it is "
            "not a class, or fetch classnames.txt again."
        )
    return names[key]
