"""Case: the data sets of upstream, each read from a miniature of its original layout."""

from __future__ import annotations

import contextlib
import glob
import io
import os
import os.path as osp
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

from dassl.config import get_cfg_default
from dassl.data.datasets import build_dataset
from dassl.utils import set_random_seed
from PIL import Image
from yacs.config import CfgNode

from .common import case

DIGITS = ("mnist", "mnist_m", "svhn", "syn", "usps")
OFFICE_HOME = ("art", "clipart", "product", "real_world")


def image_bytes() -> bytes:
    """Return a grey JPEG of 8 x 8 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (128, 128, 128)).save(buffer, "JPEG")
    return buffer.getvalue()


IMAGE = image_bytes()


def write(root: str, path: str, content: bytes | str = IMAGE) -> None:
    """Write a file, an image by default, and its folders."""
    full = osp.join(root, path)
    os.makedirs(osp.dirname(full), exist_ok=True)
    with open(full, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_layouts(root: str) -> None:
    """Write a few images of every data set in the layout that upstream reads."""

    def classes(folder: str, names: Sequence[str], images: int, stem: str = "") -> None:
        for name in names:
            for number in range(1, images + 1):
                write(root, f"{folder}/{name}/{stem}{number:05}.jpg")

    for domain in ("amazon", "dslr", "webcam"):
        classes(f"office31/{domain}", ("back_pack", "bike", "mobile_phone"), 2, "frame_")
    for domain in OFFICE_HOME:
        classes(f"office_home/{domain}", ("Alarm_Clock", "Backpack", "ToothBrush"), 2)
        for split, images in (("train", 3), ("val", 1)):
            classes(f"office_home_dg/{domain}/{split}", ("Alarm_Clock", "Backpack", "ToothBrush"), images)

    for folder, stem in (("train", "src_1_"), ("validation", "")):
        paths = [f"{name}/{stem}{number}.png" for name in ("aeroplane", "bicycle") for number in range(3)]
        for path in paths:
            write(root, f"visda17/{folder}/{path}")
        lines = [f"{path} {0 if path.startswith('aero') else 1}\n" for path in paths]
        write(root, f"visda17/{folder}/image_list.txt", "".join(lines))

    for domain in ("clipart", "infograph", "painting", "quickdraw", "real", "sketch"):
        paths = [f"{domain}/{name}/{domain}_{number}.jpg" for name in ("airplane", "t-shirt") for number in range(3)]
        for path in paths:
            write(root, f"domainnet/{path}")
        lines = [f"{path} {0 if 'airplane' in path else 327}\n" for path in paths]
        write(root, f"domainnet/splits/{domain}_train.txt", "".join(lines[::2]))
        write(root, f"domainnet/splits/{domain}_test.txt", "".join(lines[1::2]))
        lines = [line.replace("327", "1") for line in lines]
        write(root, f"domainnet/splits_mini/{domain}_train.txt", "".join(lines[1:]))
        write(root, f"domainnet/splits_mini/{domain}_test.txt", lines[0])

    for domain in ("cifar", "stl"):
        for split, images in (("train", 3), ("test", 1)):
            classes(f"cifar_stl/{domain}/{split}", ("000_airplane", "001_bird", "008_truck"), images)

    for domain in DIGITS:
        for number in range(1, 8):
            write(root, f"digit5/{domain}/train_images/{number:06}_{number * 3 % 10}.jpg")
        for number in range(1, 5):
            write(root, f"digit5/{domain}/test_images/{number:06}_{number}.jpg")
    for domain in DIGITS[:4]:
        for split, images in (("train", 3), ("val", 1)):
            classes(f"digits_dg/{domain}/{split}", ("0", "1", "9"), images, f"{domain}_")

    for domain in ("art_painting", "cartoon", "photo", "sketch"):
        paths = [f"{domain}/{name}/pic_{number}.png" for name in ("dog", "elephant", "person") for number in range(4)]
        if domain == "sketch":
            paths.append("sketch/dog/n02103406_4068-1.png")
        for path in paths:
            write(root, f"pacs/images/{path}")
        labels = {"dog": 1, "elephant": 2, "person": 7}
        lines = [f"{path} {labels[path.split('/')[1]]}\n" for path in paths]
        write(root, f"pacs/splits/{domain}_crossval_kfold.txt", "".join(lines[::4]))
        write(root, f"pacs/splits/{domain}_train_kfold.txt", "".join(line for i, line in enumerate(lines) if i % 4))
        write(root, f"pacs/splits/{domain}_test_kfold.txt", "".join(lines))

    for domain in ("CALTECH", "LABELME", "PASCAL", "SUN"):
        for split, images in (("train", 3), ("crossval", 1), ("test", 2), ("full", 6)):
            classes(f"VLCS/{domain}/{split}", "01234", images, "imgs_")

    for name in ("cifar10", "cifar100", "svhn"):
        for split, images in (("train", 6), ("test", 2)):
            classes(f"{name}/{split}", ("000", "001", "002"), images)
    for name in ("cifar10_c", "cifar100_c"):
        for level in (1, 3):
            classes(f"{name}/fog/{level}", ("000", "001", "002"), level)

    for number in range(12):
        write(root, f"stl10/train/{number:06}_{number % 10}.jpg")
        write(root, f"stl10/test/{number:06}_{number * 7 % 10}.jpg")
        write(root, f"stl10/unlabeled/{number:06}_none.jpg")
    folds = ["".join(f"{(fold + 5 * place) % 12} " for place in range(4)) for fold in range(10)]
    write(root, "stl10/stl10_binary/fold_indices.txt", "\n".join(folds) + "\n")


# Name, source domains, target domains, other DATASET keys.
VALID: list[tuple[str, Sequence[str], Sequence[str], dict[str, object]]] = [
    ("VisDA17", ["synthetic"], ["real"], {}),
    ("OfficeHome", ["art"], ["clipart"], {}),
    ("OfficeHome", ["product", "art"], ["real_world"], {}),
    ("Office31", ["amazon"], ["dslr"], {}),
    ("Office31", ["webcam", "dslr"], ["amazon"], {}),
    ("CIFARSTL", ["cifar"], ["stl"], {}),
    ("Digit5", ["usps"], ["usps"], {}),
    ("DomainNet", ["clipart", "quickdraw"], ["sketch"], {}),
    ("miniDomainNet", ["clipart", "painting", "real"], ["sketch"], {}),
    ("PACS", ["art_painting", "cartoon", "photo"], ["sketch"], {}),
    ("PACS", ["sketch"], ["photo", "cartoon"], {}),
    ("VLCS", ["labelme", "pascal", "sun"], ["caltech"], {}),
    ("DigitsDG", ["mnist_m", "svhn", "syn"], ["mnist"], {}),
    ("OfficeHomeDG", ["art", "clipart", "product"], ["real_world"], {}),
    ("DigitSingle", ["mnist"], ["mnist_m", "svhn", "syn", "usps"], {}),
    ("DigitSingle", ["usps"], ["mnist"], {}),
    ("CIFAR10C", ["cifar10"], ["cifar10_c"], {"CIFAR_C_TYPE": "fog"}),
    ("CIFAR100C", ["cifar100"], ["cifar100_c"], {"CIFAR_C_TYPE": "fog", "CIFAR_C_LEVEL": 3}),
    ("CIFAR10", [], [], {"NUM_LABELED": 7}),
    ("CIFAR100", [], [], {"NUM_LABELED": 9, "VAL_PERCENT": 0.4, "ALL_AS_UNLABELED": True}),
    ("SVHN", [], [], {"NUM_LABELED": 3, "VAL_PERCENT": 0.0}),
    ("STL10", [], [], {"STL10_FOLD": 0}),
    ("STL10", [], [], {"STL10_FOLD": 4, "ALL_AS_UNLABELED": True}),
]

REFUSED: list[tuple[str, Sequence[str], Sequence[str], dict[str, object]]] = [
    ("OfficeHome", [], ["clipart"], {}),
    ("OfficeHome", ["art"], [], {}),
    ("OfficeHome", ["art"], ["Clipart"], {}),
    ("miniDomainNet", ["quickdraw"], ["sketch"], {}),
    ("PACS", ["art"], ["sketch"], {}),
    ("CIFAR10C", ["cifar10_c"], ["cifar10_c"], {"CIFAR_C_TYPE": "fog"}),
    ("CIFAR10C", ["cifar10"], ["cifar10"], {"CIFAR_C_TYPE": "fog"}),
    ("CIFAR10C", ["cifar10"], ["cifar10_c"], {}),
    ("CIFAR10C", ["cifar10"], ["cifar10_c"], {"CIFAR_C_TYPE": "rain"}),
    ("CIFAR10C", ["cifar10"], ["cifar10_c"], {"CIFAR_C_TYPE": "snow"}),  # a known type without a folder
    ("CIFAR10C", ["cifar10"], ["cifar10_c"], {"CIFAR_C_TYPE": "fog", "CIFAR_C_LEVEL": 0}),
    ("CIFAR10C", ["cifar10"], ["cifar10_c"], {"CIFAR_C_TYPE": "fog", "CIFAR_C_LEVEL": 6}),
    ("CIFAR10", [], [], {}),
    ("STL10", [], [], {}),
    ("STL10", [], [], {"STL10_FOLD": 5}),
]


def data_set_cfg(root: str, name: str, sources: Sequence[str], targets: Sequence[str], more: dict) -> CfgNode:
    """Return a configuration of the data set."""
    cfg = get_cfg_default()
    cfg.DATASET.ROOT, cfg.DATASET.NAME, cfg.VERBOSE = root, name, False
    cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS = sources, targets
    cfg.DATASET.merge_from_list([part for key, value in more.items() for part in (key, value)])
    return cfg


@contextlib.contextmanager
def sorted_folders() -> Iterator[None]:
    """List folders in alphabetical order; upstream uses the file system's, on which random draws depend."""
    listdir, find = os.listdir, glob.glob
    with (
        mock.patch("os.listdir", lambda *args: sorted(listdir(*args))),
        mock.patch("glob.glob", lambda *args, **kwargs: sorted(find(*args, **kwargs))),
    ):
        yield


def listed(dataset: Any, root: str) -> dict:
    """Return every part of the data set as [path, label, domain, class name], and its classes."""
    parts = {
        part: [[osp.relpath(i.impath, root), i.label, i.domain, i.classname] for i in getattr(dataset, part) or ()]
        for part in ("train_x", "train_u", "val", "test")
    }
    names = sorted(dataset.lab2cname.items())
    return {**parts, "folder": osp.relpath(dataset.dataset_dir, root), "classes": [dataset.num_classes, names]}


@case
def data_sets() -> dict:
    """Data set and settings -> its images with labels, domains and class names, or "refused"."""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as root, sorted_folders():
        write_layouts(root)
        for name, sources, targets, more in (*VALID, *REFUSED):
            set_random_seed(5)
            key = " ".join([name, ",".join(sources), ",".join(targets), *(f"{k}={v}" for k, v in more.items())])
            try:
                dataset = build_dataset(data_set_cfg(root, name, sources, targets, more))
            except (AssertionError, ValueError):
                found[key] = "refused"
                continue
            found[key] = listed(dataset, root)
    return found
