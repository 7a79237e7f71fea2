"""Reading images: each decoded once, each view drawn from (seed, epoch, image) alone."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import torch
from dassl.data.data_manager import DatasetWrapper
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from prompting.errors import InputError

# Decoded training images are kept in memory up to this many bytes, so that few-shot images are decoded once a run.
CACHE_BYTES = 4 << 30


def read_image(path: str) -> Image.Image:
    """Decode an image as RGB, upright; InputError naming the file when it is missing, truncated or no image."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Image {path} cannot be read ({reason}); replace or remove it.") from None


class SeededImages(DatasetWrapper):
    """Dassl's data set wrapper, with images kept once decoded and random transforms that can be drawn again.

    The view of an image in an epoch depends on (seed, epoch, its path below the data root) alone: not on the number of
    workers, the batch order or the collection it stands in. So a resumed run draws what the uninterrupted one would
    have drawn, and a method that trains task by task sees the very views that a joint one sees.
    """

    def __init__(self, cfg, data_source, transform=None, is_train=False):
        super().__init__(cfg, data_source, transform=transform, is_train=is_train)
        self.seed = cfg.SEED if cfg.SEED >= 0 else torch.initial_seed() % (1 << 31)
        self.root = cfg.DATASET.ROOT or "."
        self.epoch = 0
        self._decoded: dict[str, Image.Image] = {}
        self._decoded_bytes = 0

    def __getitem__(self, idx: int) -> dict:
        item = self.data_source[idx]
        output = {"label": item.label, "domain": item.domain, "impath": item.impath, "index": idx}
        output["img"] = self.view(idx, self.epoch)
        return output

    def view(self, idx: int, epoch: int) -> torch.Tensor:
        """The (3, height, width) float32 view of an image in an epoch; outside training every epoch's view is the
        same."""
        item = self.data_source[idx]
        image = self._decode(item.impath)
        if not self.is_train:
            return self.transform(image)
        state, plain_state = torch.get_rng_state(), random.getstate()
        key = f"{self.seed}/{epoch}/{os.path.relpath(item.impath, self.root)}"
        view = int.from_bytes(hashlib.sha1(key.encode()).digest()[:7], "big")
        torch.manual_seed(view)
        random.seed(view)
        try:
            return self.transform(image)
        finally:
            torch.set_rng_state(state)
            random.setstate(plain_state)

    def decode_ahead(self, threads: int) -> None:
        """Decode all images that fit into the cache. Worker processes that are forked afterwards share them, so that no
        image is decoded twice; decoding itself runs in parallel, since it does not hold Python's lock."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            paths = (item.impath for item in self.data_source)
            # In portions, so that images that do not fit any more are not decoded for nothing.
            while self._decoded_bytes < CACHE_BYTES and (portion := list(islice(paths, 64))):
                for path, image in zip(portion, pool.map(read_image, portion), strict=True):
                    self._keep(path, image)

    def _keep(self, path: str, image: Image.Image) -> None:
        size = image.width * image.height * 3
        if path not in self._decoded and self._decoded_bytes + size <= CACHE_BYTES:
            self._decoded[path] = image
            self._decoded_bytes += size

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
