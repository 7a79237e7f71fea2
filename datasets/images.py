"""Reads images: each is decoded once, and each view depends only on (seed, epoch, image)."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dassl.data.data_manager import DatasetWrapper
from dassl.data.datasets import Datum
from PIL import Image
from torch.utils.data import Dataset
from yacs.config import CfgNode

from datasets.quick_views import QuickView, quick_view
from prompting.photographs import read_image as read_image

# Transforms that use no random numbers.
DETERMINISTIC_TRANSFORMS = frozenset({"normalize", "instance_norm", "center_crop"})
# Decoded training images are kept in memory up to this many bytes, so that few-shot images are decoded once per run.
CACHE_BYTES = 2 << 30


def data_root(cfg: CfgNode) -> Path:
    """The folder that contains the data sets."""
    return Path(cfg.DATASET.ROOT or "data").expanduser()


def not_augmented(cfg: CfgNode) -> bool:
    """True if training images are not augmented, so that every epoch shows the same view of them."""
    return DETERMINISTIC_TRANSFORMS.issuperset(cfg.INPUT.TRANSFORMS)


@lru_cache(1 << 16)  # asked for at every view
def _below(name: str, folder: str) -> str:
    path, root = os.path.abspath(name), os.path.abspath(folder)
    return os.path.relpath(path, root).replace(os.sep, "/") if path.startswith(root) else name


class SeededImages(DatasetWrapper):
    """Dassl's data set wrapper with a cache of decoded images and reproducible random transforms.

    The view of an image in an epoch depends only on (seed, epoch, its path below the data root), not on the number of
    workers, the batch order or the collection that it is in. So a resumed run draws the same views as an uninterrupted
    one, and a method that trains task by task sees the same views as one that trains all tasks jointly.
    """

    quick: QuickView | None = None  # the same transform, if it is the published one
    transform: Callable[[Image.Image], Any]  # always a single one here; Dassl also allows several, or None

    def __init__(
        self,
        cfg: CfgNode,
        data_source: Sequence[Datum],
        transform: Callable[[Image.Image], Any] | None = None,
        is_train: bool = False,
    ) -> None:
        super().__init__(cfg, data_source, transform=transform, is_train=is_train)
        self.seed = cfg.SEED if cfg.SEED >= 0 else torch.initial_seed() % (1 << 31)
        self.root = str(data_root(cfg))
        self.epoch = 0
        self.quick = quick_view(transform) if is_train else None
        self.forget_decoded()

    def __getitem__(self, idx: int) -> dict[str, Any]:
        item = self.data_source[idx]
        return {
            "label": item.label,
            "domain": item.domain,
            "impath": item.impath,
            "index": idx,
            "img": self.view(idx, self.epoch),
        }

    def name_of(self, item: Datum) -> str:
        """The image's path below the data root, which is the same wherever the data are stored."""
        return _below(item.impath, self.root)

    @property
    def independent(self) -> bool:
        """True if views can be drawn in several threads at once, since they use no global random generator."""
        return self.quick is not None or not self.is_train

    def view(self, idx: int, epoch: int) -> torch.Tensor:
        """The (3, height, width) float32 view of an image in an epoch; outside training all epochs share one view."""
        item = self.data_source[idx]
        image = self._decode(item.impath)
        if not self.is_train:
            return self.transform(image)
        key = f"{self.seed}/{epoch}/{self.name_of(item)}"
        draw = int.from_bytes(hashlib.sha1(key.encode()).digest()[:4], "big")
        if self.quick is not None:
            return self.quick(image, draw)
        # Transforms may use any of the three generators; their states are restored afterwards.
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()
        try:
            torch.random.default_generator.manual_seed(draw)  # the CPU's alone: a GPU's would stay reseeded
            random.seed(draw)
            np.random.seed(draw)
            return self.transform(image)
        finally:
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])

    def decode_ahead(self, threads: int) -> None:
        """Decode the images that fit into the cache. Worker processes forked afterwards share them, so no image is
        decoded twice. Threads decode in parallel, since decoding does not hold Python's lock."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            paths = (item.impath for item in self.data_source)
            while portion := list(islice(paths, 16)):
                if not all(self._keep(*pair) for pair in zip(portion, pool.map(read_image, portion), strict=True)):
                    return

    def forget_decoded(self) -> None:
        """Free the memory of decoded images."""
        self._decoded: dict[str, Image.Image] = {}
        self._decoded_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        # A worker process that is not forked gets a copy; decoding there is cheaper than sending gigabytes.
        return {**self.__dict__, "_decoded": {}, "_decoded_bytes": 0}

    def _keep(self, path: str, image: Image.Image) -> bool:
        """Add a decoded image to the cache; False if the cache is full."""
        size = image.width * image.height * 4  # Pillow stores RGB in four bytes per pixel
        if path in self._decoded:
            return True
        if self._decoded_bytes + size > CACHE_BYTES:
            return False
        self._decoded[path] = image
        self._decoded_bytes += size
        return True

    def _decode(self, path: str) -> Image.Image:
        image = self._decoded.get(path)
        if image is None:
            image = read_image(path)
            if self.is_train:
                self._keep(path, image)
        return image


class EpochViews(Dataset):
    """The views of several epochs in sequence: item k is image k % n in the (k // n)-th of the epochs."""

    def __init__(self, images: SeededImages, epochs: Sequence[int]) -> None:
        self.images, self.epochs = images, epochs

    def __len__(self) -> int:
        return len(self.epochs) * len(self.images)

    def __getitem__(self, k: int) -> torch.Tensor:
        return self.images.view(k % len(self.images), self.epochs[k // len(self.images)])


class Labels(Dataset):
    """The part of a batch that is not image features: label, task (``domain``) and index of every image."""

    def __init__(self, images: SeededImages) -> None:
        self.data_source = images.data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        item = self.data_source[idx]
        return {"label": item.label, "domain": item.domain, "index": idx}
