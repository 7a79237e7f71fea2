"""Base class of the WILDS data sets, and the file that keeps their lists of images."""

from __future__ import annotations

import os.path as osp
import pickle
from collections.abc import Sequence
from typing import Any

from yacs.config import CfgNode

from dassl.utils.tools import atomic_path

from ...base_dataset import DatasetBase, Datum
from ...folders import dataset_folder


class _DatumUnpickler(pickle.Unpickler):
    """Loads no class but ``Datum``, so the file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (Datum.__module__, Datum.__name__):
            return Datum
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def read_lists(path: str) -> dict[str, list[Datum]] | None:
    """Return the lists in the file, or None if their first images have moved; ValueError if the file is damaged."""
    try:
        with open(path, "rb") as file:
            lists = _DatumUnpickler(file).load()
        first = [lists[split][0].impath for split in ("train", "val", "test") if lists[split]]
    except (pickle.UnpicklingError, EOFError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it, and it is written again") from error
    return lists if all(map(osp.isfile, first)) else None


def open_dataset(name: str, root: str) -> Any:
    """Return the data set of the package ``wilds``, downloaded to ``root`` if missing; ImportError without it."""
    try:
        from wilds import get_dataset  # slow to import, and only needed here
    except ImportError as error:
        raise ImportError(f"The data set {name} needs the package wilds ({error}); run: pip install wilds") from error
    return get_dataset(dataset=name, root_dir=root, download=True)


class WILDSBase(DatasetBase):
    """Training, out-of-distribution validation and test images of a WILDS data set.

    The lists are stored in ``zhou_preloaded.pkl`` in the data set's folder. With DATASET.NUM_SHOTS above 0, every
    training domain has that many images of each of its classes.
    """

    dataset_dir = ""
    relabel_domain = True  # number the domains of each split from 0

    def __init__(self, cfg: CfgNode) -> None:
        name = self.dataset_dir.split("_")[0]
        self.dataset_dir = dataset_folder(cfg, self.dataset_dir)
        self.preloaded = osp.join(self.dataset_dir, "zhou_preloaded.pkl")
        lists = read_lists(self.preloaded) if osp.exists(self.preloaded) else None
        if lists is None:
            dataset = open_dataset(name, osp.dirname(self.dataset_dir))
            self.label_to_name = self.load_classnames()
            lists = {split: self.read_data(dataset.get_subset(split)) for split in ("train", "val", "test")}
            with atomic_path(self.preloaded) as partial, open(partial, "wb") as file:
                pickle.dump(lists, file, protocol=pickle.HIGHEST_PROTOCOL)
        else:
            self.label_to_name = self.load_classnames()
        train: Sequence[Datum] = lists["train"]
        if cfg.DATASET.NUM_SHOTS > 0:
            print(f"Creating a {cfg.DATASET.NUM_SHOTS}-shot dataset")
            domains = self.split_dataset_by_domain(train).values()
            train = [item for items in domains for item in self._draw_shots(items, cfg.DATASET.NUM_SHOTS, repeat=False)]
        super().__init__(train_x=train, val=lists["val"], test=lists["test"])

    def load_classnames(self) -> dict[int, str]:
        """Return the class name by label; implemented by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not implement load_classnames()")

    def get_image_path(self, dataset: Any, idx: int) -> str:
        """Return the path of an image of the whole data set."""
        return osp.join(self.dataset_dir, str(dataset._input_array[idx]))

    def get_label(self, dataset: Any, idx: int) -> int:
        """Return the label of an image of the whole data set."""
        return int(dataset.y_array[idx])

    def get_domain(self, dataset: Any, idx: int) -> int:
        """Return the domain of an image of the whole data set: the first column of its metadata."""
        return int(dataset.metadata_array[idx][0])

    def read_data(self, subset: Any) -> list[Datum]:
        """Return the images of a subset of the package ``wilds``."""
        indices, dataset = subset.indices, subset.dataset
        domains = [self.get_domain(dataset, idx) for idx in indices]
        if self.relabel_domain:
            # The order of a set, as in upstream, so that domains get the same numbers.
            number = {domain: place for place, domain in enumerate(set(domains))}
            domains = [number[domain] for domain in domains]
        items = []
        for idx, domain in zip(indices, domains, strict=True):
            label = self.get_label(dataset, idx)
            items.append(Datum(self.get_image_path(dataset, idx), label, domain, self.label_to_name[label]))
        return items
