"""Digit-Five."""

from __future__ import annotations

import os.path as osp
import random
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import dataset_folder, label_in_name, list_files

# Folder by split, the same for the five domains.
MNIST = MNIST_M = SVHN = SYN = USPS = {"train": "train_images", "test": "test_images"}


def read_image_list(im_dir: str, n_max: int | None = None, n_repeat: int | None = None) -> list[tuple[str, int]]:
    """Return (path, label) of the images ``<number>_<label>.<ext>``, optionally a random sample or several times.

    A folder with fewer images than ``n_max``, which the original data set does not have, gives all of them.
    """
    items = [(path, label_in_name(path)) for path in list_files(im_dir)]
    if n_max is not None:
        if len(items) < n_max:
            print(f"Note: {im_dir} has {len(items):,} images, fewer than {n_max:,}; all of them are used")
        items = random.sample(items, min(n_max, len(items)))
    return items * (1 if n_repeat is None else n_repeat)


def load_mnist(dataset_dir: str, split: str = "train") -> list[tuple[str, int]]:
    """Return a random sample of 25,000 training or 9,000 test images."""
    return read_image_list(osp.join(dataset_dir, MNIST[split]), n_max=25000 if split == "train" else 9000)


load_mnist_m = load_svhn = load_syn = load_mnist


def load_usps(dataset_dir: str, split: str = "train") -> list[tuple[str, int]]:
    """Return all images; those of the smaller training set three times."""
    return read_image_list(osp.join(dataset_dir, USPS[split]), n_repeat=3 if split == "train" else None)


LOADERS = {"mnist": load_mnist, "mnist_m": load_mnist_m, "svhn": load_svhn, "syn": load_syn, "usps": load_usps}


@DATASET_REGISTRY.register()
class Digit5(DatasetBase):
    """Five sets of digits as used by Peng et al. (ICCV 2019): MNIST, MNIST-M, SVHN, synthetic digits, USPS.

    Layout: ``digit5/<domain>/{train_images,test_images}/<number>_<label>.jpg``. A domain has 25,000 random training
    images and 9,000 random test images. USPS has 9,298 images in all; its training images are used three times.
    """

    dataset_dir = "digit5"
    domains = ["mnist", "mnist_m", "svhn", "syn", "usps"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        # The samples of a seed depend on this order.
        train_x = self._read_data(sources, split="train")
        train_u = self._read_data(targets, split="train")
        test = self._read_data(targets, split="test")
        super().__init__(train_x=train_x, train_u=train_u, test=test)

    def _read_data(self, input_domains: Sequence[str], split: str = "train") -> list[Datum]:
        items = []
        for domain, name in enumerate(input_domains):
            for path, label in LOADERS[name](osp.join(self.dataset_dir, name), split=split):
                items.append(Datum(path, label, domain, str(label)))
        return items
