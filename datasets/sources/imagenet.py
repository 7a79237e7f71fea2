"""ImageNet-1k (Russakovsky et al., IJCV 2015): 1,000 kinds of objects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from common.files import is_regular
from common.notices import notice
from datasets.fewshot import Samples
from datasets.layouts import Release, class_folders, locate_files, read_lines
from datasets.name_lists import NameList, read_name_list
from datasets.places import class_count, find_classes, part_folders, resolve, subfolders
from datasets.source import Download, Facts, Source

CLASSNAMES = "gdrive:1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF"  # CoOp's classnames.txt, which has CLIP's names
# Other lists of class names, which have WordNet's names.
OTHER_LISTS = (
    "LOC_synset_mapping.txt",
    "imagenet_class_index.json",
    "synset_words.txt",
    "map_clsloc.txt",
    "imagenet1000_clsidx_to_labels.txt",
    "imagenet_classes.txt",
    "words.txt",
)
KAGGLE = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")


@DATASET_REGISTRY.register()
class ImageNet(Source):
    """Tested on the validation images, as is usual, since labels of the test images are not public; there is no
    validation split. Without the training images it is for testing only."""

    folders = ("imagenet",)
    aliases = ("imagenet1k", "ILSVRC2012", "ILSVRC", "imagenet-object-localization-challenge")
    images = "images"
    task_name = "object"
    names_repeat = True  # CLIP's list calls two pairs of classes the same
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
        names = find_names(folder)
        places = [resolve(folder, name) for name in ("images", "", *KAGGLE)] + [*subfolders(folder)]
        parts = next((parts for place in places if place and "val" in (parts := part_folders(place))), {})
        test_folder = parts.get("val", folder / "images" / "val")
        keys, test = read_solution(folder, test_folder) if not class_count(test_folder) else ((), [])
        if not test:
            keys, _, test = class_folders(test_folder)
        train: Samples = []
        if "train" in parts:
            train_keys, _, train = class_folders(parts["train"])
            if train_keys != keys:
                stray = sorted(set(train_keys) ^ set(keys))[0]
                raise InputError(
                    f"Class folder {stray} is in only one of {parts['train']} and {test_folder}; unpack both "
                    "completely."
                )
        return Release(keys, names.of_ids(keys, folder), train, [], test)


class ImageNetVariant(Source):
    """Other images of ImageNet's classes, for testing models trained on ImageNet; there are no training images.

    Class folders are named after ImageNet's ids.
    """

    unpacked: tuple[str, ...]  # where class folders may be, below the data set's folder
    task_name = "object"
    names_repeat = True  # as ImageNet's

    @classmethod
    def read(cls, folder: Path) -> Release:
        names = find_names(folder)
        keys, _, samples = class_folders(cls.class_parent(folder))
        return Release(keys, names.of_ids(keys, folder), [], [], samples)

    @classmethod
    def class_parent(cls, folder: Path) -> Path:
        """The folder that holds the class folders."""
        place = find_classes(folder, cls.unpacked)
        if place is None:
            return next((folder / name for name in cls.unpacked if (folder / name).is_dir()), folder)
        parts = part_folders(place)
        return parts.get("test", parts.get("val", place))


def find_names(folder: Path) -> NameList:
    """The list of class names: classnames.txt of the data set or of ImageNet, else another list in these folders."""
    imagenet = resolve(folder.parent, "imagenet", inner=False) or folder.parent / "imagenet"
    places = list(dict.fromkeys((folder, imagenet)))
    found = [place / "classnames.txt" for place in places if is_regular(place / "classnames.txt")]
    inner = [path for place in places for path in (place, *subfolders(place))]
    found += [place / name for name in OTHER_LISTS for place in inner if is_regular(place / name)]
    if not found:
        searched = " or ".join(str(place / "classnames.txt") for place in places)
        raise InputError(
            f"Class names are not in {searched}; `bash scripts/datasets/prepare.sh imagenet` fetches classnames.txt."
        )
    names = read_name_list(found[0])
    if not names.plain or found[0].name != "classnames.txt":
        listed = Counter(names.by_id.values() or names.in_order)
        twice = sorted(name for name, count in listed.items() if count > 1)
        same = f" Several classes are called '{twice[0]}'." if twice else ""
        notice(
            f"Class names are the first ones of each class in {found[0]}. Published figures use CLIP's names, which "
            f"`bash scripts/datasets/prepare.sh imagenet` fetches as classnames.txt.{same}"
        )
    return names


def read_solution(folder: Path, images: Path) -> tuple[tuple[str, ...], Samples]:
    """The ids and validation images of Kaggle's copy, which has no class folders; nothing for other copies."""
    path = next((p for place in (folder, *subfolders(folder)) if is_regular(p := place / "LOC_val_solution.csv")), None)
    if path is None:
        return (), []

    def parse(line: str) -> tuple[str, str]:
        image, boxes = line.split(",", 1)
        return f"{image}.JPEG", boxes.split()[0] if image != "ImageId" else ""

    lines = [parse(line) for line in read_lines(path) if "," in line]
    rows = [(image, key) for image, key in lines if key]
    found = locate_files((image for image, _ in rows), images, images, str(path))
    keys = tuple(sorted({key for _, key in rows}))
    index = {key: i for i, key in enumerate(keys)}
    return keys, sorted(((found[image], index[key]) for image, key in rows), key=lambda sample: (sample[1], sample[0]))
