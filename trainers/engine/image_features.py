"""The image features of a run, from the bank: the frozen image tower encodes every image, and every view, once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import PIL
import torch
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader

from common.errors import InputError
from datasets.images import EpochViews, SeededImages, not_augmented
from prompting.feature_bank import FeatureBank, FileDigests, tower_digest
from prompting.losses import unit
from prompting.towers import Tower

CPU_PIXELS = 200_000  # per batch; measured: four images of 224 pixels at a time are four times faster than 64
ONCE_BYTES = 4 << 30  # limit of what `once` computes from a training set, which is kept for the whole run

OnProgress = Callable[[int, int], None]  # called with (done, total)


class ImageFeatures:
    """Encodes the images of SeededImages data sets with a tower, through a feature bank.

    The features do not depend on the method: methods with the same tower, augmentation, images, seed and epochs share
    one entry per epoch.
    """

    def __init__(self, tower: Tower, bank: FeatureBank, device: torch.device, workers: int):
        self.tower, self.bank, self.device, self.workers = tower, bank, device, workers
        # Without gradients a GPU can take far more than a training batch; a CPU is fastest if its caches hold a batch.
        self.batch = 256 if device.type == "cuda" else max(1, CPU_PIXELS // tower.preprocessing.size**2)
        self.digests = FileDigests(bank.folder)

    @cached_property
    def _tower_key(self) -> dict[str, Any]:
        versions = {module.__name__: module.__version__ for module in (torch, torchvision, PIL)}
        return {"tower": tower_digest(self.tower.visual), "device": self.device.type, **versions}

    def _key(self, images: SeededImages, **more: Any) -> dict[str, Any]:
        try:
            files = self.digests.of([item.impath for item in images.data_source])
        except OSError as error:
            raise InputError(
                f"Image {error.filename} cannot be read ({error.strerror}); replace or remove it."
            ) from None
        # Some transforms have no repr of their own, so the settings that all are built from are added.
        transform = re.sub(r" at 0x[0-9a-f]+", "", repr(images.transform)) + str(images.cfg.INPUT)
        return {**self._tower_key, "transform": transform, "files": files, **more}

    def fixed(self, images: SeededImages, watch: OnProgress) -> Tensor:
        """Return the (images, feature_dim) float32 features of images that are not augmented, not normalised.

        So one entry serves methods that use raw features and methods that use unit norm.
        """
        key = self._key(images, normalized=False)
        return self.bank.get(key, lambda: next(self._encode(images, (0,), watch, normalize=False)))

    def views(self, images: SeededImages, epochs: Sequence[int], watch: OnProgress) -> dict[int, Tensor]:
        """Return the features of every image's view in each epoch: epoch -> (images, feature_dim) float32 of unit norm.

        Each epoch is stored as soon as it is done, so that a killed run continues with the next one. Images that are
        not augmented are encoded once, not once per epoch.
        """
        if not_augmented(images.cfg):
            return dict.fromkeys(epochs, unit(self.fixed(images, watch)))
        names = [images.name_of(item) for item in images.data_source]  # views are drawn from the names
        key = self._key(images, names=names, seed=images.seed)
        keys = {epoch: {**key, "epoch": epoch} for epoch in epochs}
        tables = {epoch: self.bank.read(key) for epoch, key in keys.items()}
        missing = [epoch for epoch, table in tables.items() if table is None]
        if len(missing) > 1:
            images.decode_ahead(max(1, self.workers))
        for epoch, table in zip(missing, self._encode(images, missing, watch), strict=True):
            tables[epoch] = self.bank.put(keys[epoch], table)
        images.forget_decoded()
        return {epoch: table for epoch, table in tables.items() if table is not None}

    def once(self, images: SeededImages, encode: Callable[[Tensor], Tensor], watch: OnProgress) -> Tensor | None:
        """Apply ``encode`` to images that are not augmented: (images, ...) on the CPU, not stored in the bank.

        Returns None if images are augmented, or if the result would take more than ONCE_BYTES.
        """
        if not not_augmented(images.cfg):
            return None
        table, done = None, 0
        for batch in DataLoader(EpochViews(images, (0,)), batch_size=self.batch, num_workers=self.workers):
            rows = encode(batch.to(self.device))
            if table is None:
                if rows[0].nbytes * len(images) > ONCE_BYTES:
                    return None
                table = torch.empty(len(images), *rows.shape[1:], dtype=rows.dtype)
            table[done : done + len(rows)] = rows.cpu()
            done += len(rows)
            watch(done, len(images))
        images.forget_decoded()
        return table

    def _encode(
        self, images: SeededImages, epochs: Sequence[int], watch: OnProgress, normalize: bool = True
    ) -> Iterator[Tensor]:
        """Yield one (images, feature_dim) table per epoch. Batches run across epochs, so that few images fill them."""
        if not epochs:
            return
        views = EpochViews(images, epochs)
        parts, waiting, done = [], 0, 0
        for batch in DataLoader(views, batch_size=self.batch, num_workers=self.workers):
            parts.append(self.tower.encode_image(batch.to(self.device), normalize=normalize).cpu())
            waiting, done = waiting + len(batch), done + len(batch)
            watch(done, len(views))
            if waiting >= len(images):
                rows = torch.cat(parts)
                whole = waiting // len(images) * len(images)
                yield from rows[:whole].split(len(images))
                parts, waiting = [rows[whole:]], waiting - whole
