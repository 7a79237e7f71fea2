"""Image features of a run, from the bank: a frozen image tower sees every image, and every view of it, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader

from datasets.images import EpochViews, SeededImages
from prompting.errors import InputError
from prompting.feature_bank import FeatureBank, FileDigests, tower_digest
from prompting.towers import Tower

BATCH = 256  # no gradients are kept, so batches can be far larger than a training batch


class ImageFeatures:
    """Encodes the images of SeededImages data sets with a tower, through a feature bank.

    Methods with the same tower, augmentation, images, seed and epochs share one entry an epoch, since none of it
    depends on the method.
    """

    def __init__(self, tower: Tower, bank: FeatureBank, device: torch.device, workers: int):
        self.tower, self.bank, self.device, self.workers = tower, bank, device, workers
        self.digests = FileDigests(bank.folder)

    @cached_property
    def _tower_key(self) -> dict:
        return {
            "tower": tower_digest(self.tower.visual),
            "device": self.device.type,
            "torchvision": torchvision.__version__,
        }

    def _key(self, images: SeededImages, **more) -> dict:
        try:
            files = self.digests.of([item.impath for item in images.data_source])
        except OSError as error:
            raise InputError(
                f"Image {error.filename} cannot be read ({error.strerror}); replace or remove it."
            ) from None
        return {**self._tower_key, "transform": repr(images.transform), "files": files, **more}

    def fixed(self, images: SeededImages) -> Tensor:
        """(images, feature_dim) float32 features of unit norm of images that are not augmented."""
        return self.bank.get(self._key(images), lambda: torch.cat(list(self._encode(images, (0,)))))

    def views(
        self, images: SeededImages, epochs: Sequence[int], watch: Callable[[int, int], None]
    ) -> dict[int, Tensor]:
        """The features of every image's view in every epoch: epoch -> (images, feature_dim) float32 of unit norm.

        ``watch(done, total)`` is called as epochs get encoded. Each epoch is kept as soon as it is done, so that a
        killed run goes on with the next one.
        """
        names = [os.path.relpath(item.impath, images.root) for item in images.data_source]  # views are drawn from them
        key = self._key(images, names=names, seed=images.seed)
        keys = {epoch: {**key, "epoch": epoch} for epoch in epochs}
        tables = {epoch: self.bank.read(key) for epoch, key in keys.items()}
        missing = [epoch for epoch, table in tables.items() if table is None]
        if len(missing) > 1:
            images.decode_ahead(max(1, self.workers))
        for done, features in enumerate(self._encode(images, missing)):
            epoch = missing[done]
            tables[epoch] = self.bank.put(keys[epoch], features)
            watch(done + 1, len(missing))
        return tables

    def _encode(self, images: SeededImages, epochs: Sequence[int]) -> Iterator[Tensor]:
        """One (images, feature_dim) table an epoch. Batches run across epochs, so that few images do not make small
        ones."""
        if not epochs:
            return
        loader = DataLoader(EpochViews(images, epochs), batch_size=BATCH, num_workers=self.workers)
        rows = torch.empty(0)
        for batch in loader:
            features = self.tower.encode_image(batch.to(self.device)).cpu()
            rows = torch.cat([rows, features]) if len(rows) else features
            while len(rows) >= len(images):
                yield rows[: len(images)].clone()
                rows = rows[len(images) :]
