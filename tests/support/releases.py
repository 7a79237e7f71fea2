"""Miniatures of public data sets, built in a temporary folder in the layout of the original release."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from tests.support import class_lists
from tests.support.class_lists import FASHION_SIZES, FASHION_TASKS, fashion_names


def write_image(path: str | Path, mode: str = "RGB", size: tuple[int, int] = (8, 8), format: str | None = None) -> Path:
    """Write a small valid image to ``path`` and create its parents; every path gets different pixels."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    bytes_per_pixel = {"RGB": 3, "L": 1, "RGBA": 4, "CMYK": 4, "P": 1, "1": 1}[mode]
    pixels = hashlib.shake_256(str(path).encode()).digest(size[0] * size[1] * bytes_per_pixel)
    if mode == "1":
        image = Image.frombytes("L", size, pixels).convert("1")
    else:
        image = Image.frombytes(mode, size, pixels)
        if mode == "P":
            image.putpalette(bytes(range(256)) * 3)
    image.save(path, format=format)
    return path


def with_spaces(folders: Iterable[str]) -> dict[str, str]:
    """Class names by folder: underscores become spaces, and "residential" becomes "residential area"."""
    names = ((f, f.replace("_", " ")) for f in folders)
    return {f: f"{name} area" if name.endswith("residential") else name for f, name in names}


RSICB128_CLASSES = sorted(" ".join(class_lists.RSICB128.values()).split())

# Releases without an official split: (parent of the class folders, suffix of the images, class names by folder).
POOLS: dict[str, tuple[str, str, dict[str, str]]] = {
    "kaggle_flower": ("kaggle_flower_recognition/flowers", "jpg", with_spaces(class_lists.KAGGLE_FLOWER)),
    "kaggle_mushroom": ("kaggle_mushroom/Mushrooms", "jpg", with_spaces(class_lists.KAGGLE_MUSHROOM)),
    "plant_seedling": (
        "PlantSeedlingV1/Nonsegmented",
        "png",
        {**with_spaces(class_lists.PLANT_SEEDLING), "Shepherd\u2019s Purse": "Shepherd's Purse"},
    ),
    "plant_village": (
        "PlantVillage/Plant_leave_diseases_dataset_without_augmentation",
        "JPG",
        class_lists.PLANT_VILLAGE,
    ),
    "aid": ("AID", "jpg", class_lists.AID),
    "resisc45": ("NWPU-RESISC45", "jpg", with_spaces(class_lists.RESISC45)),
    "optimal31": ("OPTIMAL-31/Images", "jpg", with_spaces(class_lists.OPTIMAL31)),
    "rsicb128": ("RSI-CB128", "tif", {**with_spaces(RSICB128_CLASSES), **class_lists.RSICB128_NAMES}),
    "rsscn7": ("RSSCN7", "jpg", class_lists.RSSCN7),
    "nasc_tg2": ("NaSC-TG2", "jpg", class_lists.NASC_TG2),
    "ucmerced": ("UCMerced_LandUse/Images", "tif", class_lists.UCMERCED),
    "whurs19": ("WHU-RS19", "jpg", class_lists.WHURS19),
}
OFFICIAL_SPLITS = {
    "fruit_vegetable": ("fruit_vegetable/images", "jpg", with_spaces(class_lists.FRUIT_VEGETABLE)),
    "kaggle_vegetable": ("kaggle_vegetable/images", "jpg", with_spaces(class_lists.KAGGLE_VEGETABLE)),
}
RELEASES = {**POOLS, **OFFICIAL_SPLITS}
GROUPS = {name: group for group, names in class_lists.RSICB128.items() for name in names.split()}


def fill_folder(folder: Path, count: int, suffix: str, shared: Path) -> None:
    """Link ``count`` images into a folder. They share one file in ``shared``, so 1593 classes take a second."""
    kind = suffix.lower()
    original = shared / f"image.{kind}"
    if not original.is_file():
        write_image(original)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        os.link(original, folder / f"{folder.name} ({i}).{suffix}")


def write_release(root: Path, name: str, count: int = 2) -> Path:
    """Write a miniature release below the data root, with ``count`` images per class (and part of a split).

    Returns the parent of its class folders, or of the folders of its split.
    """
    if name == "fashion20":
        return write_fashion20(root, count)
    shared = root.parent / f"{root.name} images"
    place, suffix, classes = RELEASES[name]
    for folder in classes:
        if name == "rsicb128":
            fill_folder(root / place / GROUPS[folder] / folder, count, suffix, shared)
        elif name in OFFICIAL_SPLITS:
            for part, extra in (("train", 2), ("validation", 0), ("test", 1)):
                fill_folder(root / place / part / folder, count + extra, suffix, shared)
        else:
            fill_folder(root / place / folder, count, suffix, shared)
    return root / place


def write_fashion20(root: Path, count: int = 2) -> Path:
    """Write a miniature Fashion-20 and return its folder of images."""
    folder = root / "fashion20"
    rows = ["\t".join(("task id", "task name", "task desc", "label name"))]
    for task, size in enumerate(FASHION_SIZES):
        rows.append(f"{task}\t{FASHION_TASKS[task]}\tWhich?\t{', '.join(fashion_names(task))}")
        for index in range(size):
            fill_folder(folder / "images" / str(task) / str(index), count, "jpg", root.parent / f"{root.name} images")
    (folder / "task_info.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "images"
