"""The image features of a run, from the bank: the frozen image tower encodes every image, and every view, once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import PIL
import torch
import torchvision
from dassl.data.datasets import Datum
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.errors import InputError
from datasets.images import EpochViews, SeededImages, not_augmented, read_image
from prompting.feature_bank import FeatureBank, tower_digest
from prompting.file_digests import FileDigests, digest_of
from prompting.finite import is_finite
from prompting.image_precision import advise, name_of
from prompting.losses import unit
from prompting.pixels import KEYS
from prompting.side_by_side import side_by_side
from prompting.towers import Tower
from prompting.transfers import read_one_late, sent
from prompting.views import images_at_a_time
from prompting.vision_transformer import is_fast

TRIAL = 2  # the batch, counted from 0, whose time estimates the whole
ONCE_BYTES = 4 << 30  # limit of what `once` computes from a training set, which is kept for the whole run

OnProgress = Callable[[int, int], None]  # called with (done, total)


class Files(Dataset):
    """Decodes image files: an item is its own number, once the file is decoded."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> int:
        read_image(self.paths[number])
        return number


class EpochTables(Mapping[int, Tensor]):
    """Epoch -> its table, from ``load``; one is held at a time, since an open one takes a file descriptor."""

    def __init__(self, epochs: Sequence[int], load: Callable[[int], Tensor]) -> None:
        self.epochs, self.load = epochs, load
        self._epoch: int | None = None
        self._table = torch.empty(0)

    def __getitem__(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            if epoch not in self.epochs:
                raise KeyError(epoch)
            self._table = self.load(epoch)
            self._epoch = epoch
        return self._table

    def __iter__(self) -> Iterator[int]:
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)


class ImageFeatures:
    """Encodes the images of SeededImages data sets with a tower, through a feature bank.

    The features do not depend on the method: methods with the same tower, augmentation, images, seed and epochs share
    one entry per epoch.
    """

    def __init__(self, tower: Tower, bank: FeatureBank, device: torch.device, workers: int):
        self.tower, self.bank, self.device, self.workers = tower, bank, device, workers
        self.batch = images_at_a_time(device, tower.preprocessing.size)
        self.digests = FileDigests(bank.folder)
        self.auto_key = ""  # a setting to name if encoding in float32 will take long
        self.pool: Sequence[Datum] = ()  # images that are encoded together, if only some of them are asked for
        self._contents: dict[str, str] = {}  # path -> hash, for this run
        self._unstored: dict[Path, Tensor] = {}  # tables of images that are not augmented

    @cached_property
    def _tower_key(self) -> dict[str, Any]:
        versions = {module.__name__: module.__version__ for module in (torch, torchvision, PIL)}
        path = {"path": "fused"} if is_fast(self.tower.visual) else {}  # other last bits than the plain one's
        return {"tower": tower_digest(self.tower.visual), "device": self.device.type, **path, **versions}

    def contents(self, paths: Sequence[str]) -> list[str]:
        """Return a hash of each image file's content; InputError naming a file that cannot be read."""
        new = [path for path in dict.fromkeys(paths) if path not in self._contents]
        try:
            self._contents.update(zip(new, self.digests.each(new) if new else (), strict=True))
            return [self._contents[path] for path in paths]
        except OSError as error:
            raise InputError(
                f"Image {error.filename} cannot be read ({error.strerror}); replace or remove it."
            ) from None

    def decode_once(self, images: SeededImages, watch: OnProgress) -> None:
        """Raise InputError for an image that cannot be decoded; what was decoded before is not read again."""
        paths = [item.impath for item in images.data_source]
        reader, digests = f"Pillow {PIL.__version__}", self.contents(paths)
        unread = self.digests.unread(digests, reader)
        first = {digest: path for digest, path in zip(digests, paths, strict=True) if digest in unread}
        order, done = list(first), list[str]()
        try:
            for numbers in DataLoader(Files(list(first.values())), batch_size=16, num_workers=self.workers):
                done += [order[number] for number in numbers.tolist()]
                watch(len(done), len(first))
        finally:
            self.digests.mark_read(done, reader)

    def _key(self, images: SeededImages, **more: Any) -> dict[str, Any]:
        files = digest_of(self.contents([item.impath for item in images.data_source]))
        # Some transforms have no repr of their own, so the settings that all are built from are added.
        settings = images.cfg.INPUT.clone()
        settings.defrost()
        # Where a setting is from does not matter, nor what augmented views would need.
        told = " at 0x" not in repr(images.transform)
        still = told and (not images.is_train or not_augmented(images.cfg))
        for name in [name for name in settings if name == "GIVEN" or (still and name not in KEYS)]:
            settings.pop(name)
        transform = re.sub(r" at 0x[0-9a-f]+", "", repr(images.transform)) + str(settings)
        return {**self._tower_key, "transform": transform, "files": files, **more}

    def _pooled(self, images: SeededImages) -> tuple[SeededImages, list[int] | None]:
        """Return the whole pool as a data set, and each image's row in it; (images, None) if an image is not in it.

        The folds of a cross-validation are parts of one pool. It is encoded once, and not once for each fold, unless
        the bank cannot keep it.
        """
        rows = {item.impath: row for row, item in enumerate(self.pool)}
        if not rows or any(item.impath not in rows for item in images.data_source):
            return images, None
        if not self.bank.keeps(len(rows) * self.tower.text.feature_dim * 4):
            return images, None
        whole = SeededImages(images.cfg, self.pool, images.transform, images.is_train)
        return whole, [rows[item.impath] for item in images.data_source]

    def fixed(self, images: SeededImages, watch: OnProgress) -> Tensor:
        """Return the (images, feature_dim) float32 features of images that are not augmented, not normalised.

        So one entry serves methods that use raw features and methods that use unit norm.
        """
        images, rows = self._pooled(images)
        key = self._key(images, normalized=False)
        path = self.bank.path_of(key)
        table = self._unstored.get(path)
        if table is None:
            table = self.bank.get(key, lambda: next(self._encode(images, (0,), watch, normalize=False)))
            if not path.exists():  # the bank cannot be written
                self._unstored[path] = table
        return table if rows is None else table[rows]

    def stored(self, images: SeededImages) -> bool:
        """Return whether the bank has the features of images that are not augmented."""
        return self.bank.path_of(self._key(self._pooled(images)[0], normalized=False)).exists()

    def views(self, images: SeededImages, epochs: Sequence[int], watch: OnProgress) -> Mapping[int, Tensor]:
        """Return the features of every image's view in each epoch: epoch -> (images, feature_dim) float32 of unit norm.

        Each epoch is stored as soon as it is done, so that a killed run continues with the next one. One epoch's table
        is in memory at a time; an epoch that the bank cannot store, or has removed, is encoded when it is asked for.
        Images that are not augmented are encoded once, not once per epoch.
        """
        if not_augmented(images.cfg):
            return dict.fromkeys(epochs, unit(self.fixed(images, watch)))
        images, rows = self._pooled(images)
        names = [images.name_of(item) for item in images.data_source]  # views are drawn from the names
        key = self._key(images, names=names, seed=images.seed)

        def of_epoch(epoch: int) -> dict[str, Any]:
            return {**key, "epoch": epoch}

        def load(epoch: int) -> Tensor:
            with torch.random.fork_rng(devices=[]):  # a loader draws from the generator that training draws from
                table = self.bank.get(of_epoch(epoch), lambda: next(self._encode(images, (epoch,), watch)))
            return table if rows is None else table[rows]

        missing = [epoch for epoch in epochs if self.bank.read(of_epoch(epoch)) is None]
        if len(missing) > 1:
            images.decode_ahead(max(1, self.workers))
        for epoch, table in zip(missing, self._encode(images, missing, watch), strict=True):
            self.bank.put(of_epoch(epoch), table)
            # A bank that cannot store all epochs, or any, gives them when they are trained on.
            if not self.bank.path_of(of_epoch(missing[0])).exists():
                break
        images.forget_decoded()
        return EpochTables(epochs, load)

    def once(self, images: SeededImages, encode: Callable[[Tensor], Tensor], watch: OnProgress) -> Tensor | None:
        """Apply ``encode`` to images that are not augmented: (images, ...) on the CPU, not stored in the bank.

        Returns None if images are augmented, or if the result would take more than ONCE_BYTES.
        """
        if not not_augmented(images.cfg):
            return None
        table, done = None, 0
        for rows in read_one_late(map(encode, self._batches(EpochViews(images, (0,))))):
            self._check_finite(rows, images, done)
            if table is None:
                if rows[0].nbytes * len(images) > ONCE_BYTES:
                    return None
                table = torch.empty(len(images), *rows.shape[1:], dtype=rows.dtype)
            table[done : done + len(rows)] = rows
            done += len(rows)
            watch(done, len(images))
        images.forget_decoded()
        return table

    def _batches(self, views: EpochViews) -> Iterator[Tensor]:
        """Yield batches of views on the device; worker processes decode, and copies to a GPU do not wait for it."""
        pinned = self.device.type == "cuda"
        for batch in DataLoader(views, batch_size=self.batch, num_workers=self.workers, pin_memory=pinned):
            yield sent(batch, self.device)

    def _encode(
        self, images: SeededImages, epochs: Sequence[int], watch: OnProgress, normalize: bool = True
    ) -> Iterator[Tensor]:
        """Yield one (images, feature_dim) table per epoch. Batches run across epochs, so that few images fill them."""
        if not epochs:
            return
        views = EpochViews(images, epochs)
        parts, waiting, done = [], 0, 0
        first = 0.0  # the time of the first batch
        for number, features in enumerate(self._features(views, normalize)):
            if number == 0:
                first = time.perf_counter()
            elif number == TRIAL:
                seconds = (time.perf_counter() - first) / (TRIAL * self.batch)
                advise(self.tower, self.auto_key, seconds * (len(views) - done))
            parts.append(features)
            self._check_finite(features, images, done)
            waiting, done = waiting + len(features), done + len(features)
            watch(done, len(views))
            if waiting >= len(images):
                rows = torch.cat(parts)
                whole = waiting // len(images) * len(images)
                yield from rows[:whole].split(len(images))
                parts, waiting = [rows[whole:]], waiting - whole

    def _features(self, views: EpochViews, normalize: bool) -> Iterator[Tensor]:
        """Yield the features of consecutive views, in batches."""
        threads = torch.get_num_threads()
        if self.device.type == "cpu" and not self.workers and threads > 1 and views.images.independent:

            def encode(first: int) -> Tensor:
                batch = torch.stack([views[k] for k in range(first, min(first + self.batch, len(views)))])
                return self.tower.encode_image(batch, normalize=normalize)

            yield from side_by_side(encode, range(0, len(views), self.batch), threads)
            return
        batches = self._batches(views)
        yield from read_one_late(self.tower.encode_image(batch, normalize=normalize) for batch in batches)

    def _check_finite(self, features: Tensor, images: SeededImages, first: int) -> None:
        """Raise InputError if the tower's features, of images from number ``first`` on, have a NaN or an infinity."""
        if is_finite(features):
            return
        row = int((~features.isfinite()).flatten(1).any(1).nonzero()[0])
        name = images.name_of(images.data_source[(first + row) % len(images)])
        half = self.tower.image_dtype == torch.float16
        fix = "set PREC bf16 or fp32" if half else "use another tower"
        raise InputError(
            f"The features of {name} are not finite, as {self.tower.name} computes them in "
            f"{name_of(self.tower.image_dtype)}; {fix}."
        )
