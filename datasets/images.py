"""Reading images: each decoded once, each view drawn from (seed, epoch, image) alone."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from dassl.data.data_manager import DatasetWrapper
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from common.errors import InputError

STILL = frozenset({"normalize", "instance_norm", "center_crop"})  # transforms that draw nothing
# Decoded training images are kept in memory up to this many bytes, so that few-shot images are decoded once a run.
CACHE_BYTES = 2 << 30


def read_image(path: str) -> Image.Image:
    """Decode an image as RGB, upright; InputError naming the file when it is missing, truncated or no image."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's convert would clip to 8
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Image {path} cannot be read ({reason}); replace or remove it.") from None


def data_root(cfg) -> Path:
    """The folder that holds the data sets."""
    return Path(cfg.DATASET.ROOT or "data").expanduser()


def not_augmented(cfg) -> bool:
    """Whether training images are not augmented: every epoch shows the same view of them."""
    return STILL.issuperset(cfg.INPUT.TRANSFORMS)


class SeededImages(DatasetWrapper):
    """Dassl's data set wrapper, with images kept once decoded and random transforms that can be drawn again.

    The view of an image in an epoch depends on (seed, epoch, its path below the data root) alone: not on the number of
    workers, the batch order or the collection it stands in. So a resumed run draws what the uninterrupted one would
    have drawn, and a method that trains task by task sees the very views that a joint one sees.
    """

    def __init__(self, cfg, data_source, transform=None, is_train=False):
        super().__init__(cfg, data_source, transform=transform, is_train=is_train)
        self.seed = cfg.SEED if cfg.SEED >= 0 else torch.initial_seed() % (1 << 31)
        self.root = str(data_root(cfg))
        self.epoch = 0
        self.forget_decoded()

    def __getitem__(self, idx: int) -> dict:
        item = self.data_source[idx]
        return {
            "label": item.label,
            "domain": item.domain,
            "impath": item.impath,
            "index": idx,
            "img": self.view(idx, self.epoch),
        }

    def name_of(self, item) -> str:
        """What an image is called wherever the data lie: its path below the data root."""
        path, root = os.path.abspath(item.impath), os.path.abspath(self.root)
        return os.path.relpath(path, root).replace(os.sep, "/") if path.startswith(root) else item.impath

    def view(self, idx: int, epoch: int) -> torch.Tensor:
        """The (3, height, width) float32 view of an image in an epoch; outside training every epoch's is the same."""
        item = self.data_source[idx]
        image = self._decode(item.impath)
        if not self.is_train:
            return self.transform(image)
        key = f"{self.seed}/{epoch}/{self.name_of(item)}"
        draw = int.from_bytes(hashlib.sha1(key.encode()).digest()[:4], "big")
        # Transforms draw from any of the three generators; what they were before is put back.
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()
        try:
            torch.manual_seed(draw)
            random.seed(draw)
            np.random.seed(draw)
            return self.transform(image)
        finally:
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])

    def decode_ahead(self, threads: int) -> None:
        """Decode the images that fit into the cache. Worker processes that are forked afterwards share them, so that
        none is decoded twice; decoding itself runs in parallel, since it does not hold Python's lock."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            paths = (item.impath for item in self.data_source)
            while portion := list(islice(paths, 16)):
                if not all(self._keep(*pair) for pair in zip(portion, pool.map(read_image, portion), strict=True)):
                    return

    def forget_decoded(self) -> None:
        """Give the memory of decoded images back."""
        self._decoded: dict[str, Image.Image] = {}
        self._decoded_bytes = 0

    def __getstate__(self) -> dict:
        # A worker process that is not forked gets a copy; it had better decode for itself than be sent gigabytes.
        return {**self.__dict__, "_decoded": {}, "_decoded_bytes": 0}

    def _keep(self, path: str, image: Image.Image) -> bool:
        """Keep a decoded image; False when there is no more room."""
        size = image.width * image.height * 4  # Pillow holds RGB in four bytes a pixel
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
    """The views of several epochs, one after the other: item k is image k % n in the (k // n)-th of the epochs."""

    def __init__(self, images: SeededImages, epochs: Sequence[int]):
        self.images, self.epochs = images, epochs

    def __len__(self) -> int:
        return len(self.epochs) * len(self.images)

    def __getitem__(self, k: int) -> torch.Tensor:
        return self.images.view(k % len(self.images), self.epochs[k // len(self.images)])


class Labels(Dataset):
    """What a batch needs besides image features: label, task (``domain``) and index of every image."""

    def __init__(self, images: SeededImages):
        self.data_source = images.data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict:
        item = self.data_source[idx]
        return {"label": item.label, "domain": item.domain, "index": idx}
