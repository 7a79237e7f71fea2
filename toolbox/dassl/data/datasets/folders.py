"""Shared by the data sets of several domains: class folders, split files, downloads.

In most of them a label is the position of a class folder in the sorted list. ``check_class_folders`` makes sure that a
class then has the same label in every domain.
"""

from __future__ import annotations

import os.path as osp
from collections.abc import Callable, Sequence

from yacs.config import CfgNode

from dassl.utils import listdir_nohidden

from .archives import extract_archive
from .base_dataset import DatasetBase, Datum

HINT = "check DATASET.ROOT and the folder layout"


def dataset_folder(cfg: CfgNode, name: str) -> str:
    """Return the absolute path of the folder ``name`` in DATASET.ROOT."""
    return osp.join(osp.abspath(osp.expanduser(cfg.DATASET.ROOT)), name)


def list_files(folder: str) -> list[str]:
    """Return the paths in ``folder`` in alphabetical order; FileNotFoundError if there is no such folder."""
    if not osp.isdir(folder):
        raise FileNotFoundError(f"No folder at {folder}; {HINT}")
    return [osp.join(folder, name) for name in listdir_nohidden(folder, sort=True)]


def class_folders(folder: str) -> list[str]:
    """Return the paths of the subfolders of ``folder`` in alphabetical order; files beside them are ignored."""
    found = [path for path in list_files(folder) if osp.isdir(path)]
    if not found:
        raise FileNotFoundError(f"No class folders in {folder}; {HINT}")
    return found


def domain_folder(folder: str, domain: str) -> str:
    """Return the path of the subfolder ``domain``, which may be spelled as in a download: "Real World" for real_world.

    Raises:
        FileNotFoundError: there is no such folder; the message lists those that are there.
    """
    exact = osp.join(folder, domain)
    if osp.isdir(exact):
        return exact
    names = [osp.basename(path) for path in list_files(folder) if osp.isdir(path)]
    for name in names:
        if name.lower().replace(" ", "_").replace("-", "_") == domain.lower():
            return osp.join(folder, name)
    there = f", only {', '.join(names)}" if names else ""
    raise FileNotFoundError(f"No folder {domain} in {folder}{there}; {HINT}")


def list_jpegs(folder: str) -> list[str]:
    """Return the paths of the .jpg files in ``folder``, and print how many other files are left out."""
    paths = list_files(folder)
    images = [path for path in paths if path.endswith(".jpg")]
    if len(images) < len(paths):
        print(f"Note: {len(paths) - len(images)} of the {len(paths)} files in {folder} are left out: not *.jpg")
    return images


def read_class_folders(
    folder: str,
    domain: int = 0,
    classname: Callable[[str], str] = lambda name: "",
    images: Callable[[str], list[str]] = list_files,
) -> list[Datum]:
    """Read ``<folder>/<class>/<image>``; a class's label is its position in alphabetical order.

    Args:
        classname: makes the class name of the folder's name. Upstream leaves the names of some data sets empty.
        images: lists the images of a class folder.
    """
    items = []
    for label, path in enumerate(class_folders(folder)):
        name = classname(osp.basename(path))
        items += [Datum(impath, label, domain, name) for impath in images(path)]
    return items


def check_class_folders(*parts: Sequence[Datum]) -> None:
    """Raise a ValueError if images with the same label are in class folders of different names (any case)."""
    seen: dict[int, str] = {}
    for items in parts:
        for item in items:
            folder = osp.dirname(item.impath)
            known = seen.setdefault(item.label, folder)
            if known != folder and osp.basename(known).lower() != osp.basename(folder).lower():
                raise ValueError(
                    f"Label {item.label} is {known} and also {folder}; labels are positions in the sorted list of "
                    "class folders, so every domain must have the same class folders"
                )


def read_list(split_file: str) -> list[tuple[str, int]]:
    """Read a split file with lines "<image path> <label>".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed.
    """
    if not osp.isfile(split_file):
        raise FileNotFoundError(f"No split file at {split_file}; {HINT}")
    items = []
    with open(split_file, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            path, _, label = line.strip().rpartition(" ")
            if not path or not label.lstrip("-").isdecimal():
                raise ValueError(
                    f"{split_file}, line {number}: expected '<image path> <label>', but got {line.strip()!r}"
                )
            items.append((path, int(label)))
    return items


def label_in_name(path: str) -> int:
    """Return the label in a file name ``<number>_<label>.<ext>``; "none" is -1. ValueError for any other name."""
    parts = osp.splitext(osp.basename(path))[0].split("_")
    if len(parts) > 1 and parts[1] == "none":
        return -1
    if len(parts) < 2 or not parts[1].isdecimal():
        raise ValueError(f"Image {path} has no label in its name; expected <number>_<label>, such as 000001_7.jpg")
    return int(parts[1])


def download_if_missing(dataset: DatasetBase, url: str, archive: str) -> None:
    """Download and extract ``archive`` next to the data set's folder unless the folder exists.

    An archive that is already there is extracted without a download.
    """
    if osp.exists(dataset.dataset_dir):
        return
    path = osp.join(osp.dirname(dataset.dataset_dir), archive)
    if osp.isfile(path):
        print(f"Extracting {path}")
        extract_archive(path, osp.dirname(path))
    else:
        dataset.download_data(url, path, from_gdrive=True)
