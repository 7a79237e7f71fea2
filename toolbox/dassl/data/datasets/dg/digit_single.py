"""Digits for generalisation from one domain."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import dataset_folder, label_in_name, list_files

# Folder by split, the same for the five domains.
MNIST = MNIST_M = SVHN = SYN = USPS = {"train": "train_images", "test": "test_images"}


def read_image_list(im_dir: str, n_max: int | None = None, n_repeat: int | None = None) -> list[tuple[str, int]]:
    """Return (path, label) of the images ``<number>_<label>.<ext>``, optionally the first ones or several times.

    The first ``n_max`` images are not a random sample, as in Volpi et al.
    """
    items = [(path, label_in_name(path)) for path in list_files(im_dir)][:n_max]
    return items * (1 if n_repeat is None else n_repeat)


def load_mnist(dataset_dir: str, split: str = "train") -> list[tuple[str, int]]:
    """Return the first 10,000 training images or all test images."""
    return read_image_list(osp.join(dataset_dir, MNIST[split]), n_max=10000 if split == "train" else None)


load_mnist_m = load_svhn = load_syn = load_mnist


def load_usps(dataset_dir: str, split: str = "train") -> list[tuple[str, int]]:
    """Return all images."""
    return read_image_list(osp.join(dataset_dir, USPS[split]))


LOADERS = {"mnist": load_mnist, "mnist_m": load_mnist_m, "svhn": load_svhn, "syn": load_syn, "usps": load_usps}


@DATASET_REGISTRY.register()
class DigitSingle(DatasetBase):
    """Digits for generalisation from one domain (Volpi et al., NeurIPS 2018), usually MNIST. Class names are empty.

    Layout: that of Digit5. A domain has its first 10,000 training images (USPS: all) and all its test images.
    """

    dataset_dir = "digit5"
    domains = ["mnist", "mnist_m", "svhn", "syn", "usps"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        sources, targets = cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS
        self.check_input_domains(sources, targets)
        super().__init__(
            train_x=self._read_data(sources, split="train"),
            val=self._read_data(sources, split="test"),
            test=self._read_data(targets, split="test"),
        )

    def _read_data(self, input_domains: Sequence[str], split: str = "train") -> list[Datum]:
        items = []
        for domain, name in enumerate(input_domains):
            for path, label in LOADERS[name](osp.join(self.dataset_dir, name), split=split):
                items.append(Datum(path, label, domain))
        return items
