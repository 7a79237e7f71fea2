"""Data loaders, built from a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
import torchvision.transforms as T
from PIL import Image
from tabulate import tabulate
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from yacs.config import CfgNode

from dassl.utils import read_image

from .datasets import build_dataset
from .datasets.base_dataset import Datum
from .samplers import build_sampler
from .transforms import INTERPOLATION_MODES, build_transform

Transform = Callable[[Image.Image], Any]
Transforms = Transform | list[Transform] | tuple[Transform, ...] | None

# The setting that only one sampler uses; other runs do not need it.
SAMPLER_KEYS = {"RandomDomainSampler": "N_DOMAIN", "RandomClassSampler": "N_INS"}


def build_data_loader(
    cfg: CfgNode,
    sampler_type: str = "SequentialSampler",
    data_source: Sequence[Datum] = None,  # type: ignore[assignment]  # upstream's default; no sampler accepts it
    batch_size: int = 64,
    n_domain: int = 0,
    n_ins: int = 2,
    tfm: Transforms = None,
    is_train: bool = True,
    dataset_wrapper: type | None = None,
) -> DataLoader:
    """Build a loader for ``data_source``; training drops an incomplete last batch unless it is the only one.

    Args:
        cfg: the configuration; uses ``DATALOADER``, ``INPUT`` and ``USE_CUDA``.
        sampler_type, n_domain, n_ins: see ``dassl.data.samplers.build_sampler``.
        tfm: turns an image into a tensor; several transforms give several views.
        dataset_wrapper: a class to use in place of ``DatasetWrapper``, called the same way.

    Raises:
        ValueError: there are no images, or too few for one batch.
    """
    if data_source is not None and not len(data_source):
        raise ValueError(f"There are no images for {'training' if is_train else 'tests'}; check the data set's split")
    sampler = build_sampler(
        sampler_type, cfg=cfg, data_source=data_source, batch_size=batch_size, n_domain=n_domain, n_ins=n_ins
    )
    wrapper = dataset_wrapper or DatasetWrapper
    loader = DataLoader(
        wrapper(cfg, data_source, transform=tfm, is_train=is_train),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        drop_last=is_train and len(data_source) >= batch_size,
        pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
    )
    if len(loader) == 0:
        raise ValueError(
            f"{sampler_type} finds no complete batch of {batch_size} in {len(data_source)} images; "
            "choose a smaller DATALOADER batch size"
        )
    return loader


class DataManager:
    """The data set that ``cfg`` names, and its loaders.

    Args:
        custom_tfm_train, custom_tfm_test: used in place of the transforms that ``cfg.INPUT`` describes.
        dataset_wrapper: used in place of ``DatasetWrapper``.
    """

    dataset: Any  # a DatasetBase, or a plugin's class like it
    train_loader_x: DataLoader
    train_loader_u: DataLoader | None  # None without unlabelled data
    val_loader: DataLoader | None  # None without validation data
    test_loader: DataLoader

    def __init__(
        self,
        cfg: CfgNode,
        custom_tfm_train: Transforms = None,
        custom_tfm_test: Transforms = None,
        dataset_wrapper: type | None = None,
    ) -> None:
        dataset = build_dataset(cfg)
        tfm_train = self._transform(cfg, custom_tfm_train, is_train=True)
        tfm_test = self._transform(cfg, custom_tfm_test, is_train=False)

        def training(source: Sequence[Datum], section: CfgNode) -> DataLoader:
            needed = SAMPLER_KEYS.get(section.SAMPLER)
            keys = [key for key in ("N_DOMAIN", "N_INS") if key in section or key == needed]
            return build_data_loader(
                cfg,
                sampler_type=section.SAMPLER,
                data_source=source,
                batch_size=section.BATCH_SIZE,
                tfm=tfm_train,
                is_train=True,
                dataset_wrapper=dataset_wrapper,
                **{key.lower(): getattr(section, key) for key in keys},
            )

        def testing(source: Sequence[Datum]) -> DataLoader:
            return build_data_loader(
                cfg,
                sampler_type=cfg.DATALOADER.TEST.SAMPLER,
                data_source=source,
                batch_size=cfg.DATALOADER.TEST.BATCH_SIZE,
                tfm=tfm_test,
                is_train=False,
                dataset_wrapper=dataset_wrapper,
            )

        # Some samplers draw random numbers when built, so the results of a seed depend on the order of these four.
        section_x = cfg.DATALOADER.TRAIN_X
        self.train_loader_x = training(dataset.train_x, section_x)
        self.train_loader_u = None
        if dataset.train_u:
            section_u = cfg.DATALOADER.TRAIN_U
            self.train_loader_u = training(dataset.train_u, section_x if section_u.SAME_AS_X else section_u)
        self.val_loader = testing(dataset.val) if dataset.val else None
        self.test_loader = testing(dataset.test)

        self.dataset = dataset
        self._num_classes = dataset.num_classes
        self._num_source_domains = len(cfg.DATASET.SOURCE_DOMAINS)
        self._lab2cname = dataset.lab2cname
        if cfg.VERBOSE:
            self.show_dataset_summary(cfg)

    @staticmethod
    def _transform(cfg: CfgNode, custom: Any, is_train: bool) -> Any:
        if custom is None:
            return build_transform(cfg, is_train=is_train)
        print(f"* Using custom transform for {'training' if is_train else 'testing'}")
        return custom

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._num_classes

    @property
    def num_source_domains(self) -> int:
        """Number of ``DATASET.SOURCE_DOMAINS``."""
        return self._num_source_domains

    @property
    def lab2cname(self) -> dict[int, str]:
        """Class name by label."""
        return self._lab2cname

    def show_dataset_summary(self, cfg: CfgNode) -> None:
        """Print a small table of the data set's sizes."""
        rows: list[list] = [["Dataset", cfg.DATASET.NAME]]
        if cfg.DATASET.SOURCE_DOMAINS:
            rows.append(["Source", cfg.DATASET.SOURCE_DOMAINS])
        if cfg.DATASET.TARGET_DOMAINS:
            rows.append(["Target", cfg.DATASET.TARGET_DOMAINS])
        rows.append(["# classes", f"{self.num_classes:,}"])
        for name in ("train_x", "train_u", "val", "test"):
            source = getattr(self.dataset, name)
            if source or name in ("train_x", "test"):
                rows.append([f"# {name}", f"{len(source):,}"])
        print(tabulate(rows))


class DatasetWrapper(TorchDataset):
    """Reads and transforms the images of a list of ``Datum``.

    An item is a dictionary with "label", "domain", "impath", "index" and "img" (several transforms also give "img2",
    "img3" ...). An image is a list of views in training with DATALOADER.K_TRANSFORMS > 1, and a PIL image without a
    transform. DATALOADER.RETURN_IMG0 adds "img0", the unaugmented tensor.
    """

    def __init__(
        self,
        cfg: CfgNode,
        data_source: Sequence[Datum],
        transform: Transforms = None,
        is_train: bool = False,
    ) -> None:
        self.cfg = cfg
        self.data_source = data_source
        self.transform = transform
        self.is_train = is_train
        self.k_tfm = cfg.DATALOADER.K_TRANSFORMS if is_train else 1
        self.return_img0 = cfg.DATALOADER.RETURN_IMG0
        if self.k_tfm > 1 and transform is None:
            raise ValueError(f"DATALOADER.K_TRANSFORMS = {self.k_tfm} needs a transform, but INPUT.NO_TRANSFORM is set")

    @cached_property
    def to_tensor(self) -> T.Compose:
        """The transform of "img0". Built on demand: a run with its own transforms may lack the ``INPUT`` keys."""
        cfg = self.cfg.INPUT
        steps = [T.Resize(cfg.SIZE, interpolation=INTERPOLATION_MODES[cfg.INTERPOLATION]), T.ToTensor()]
        if "normalize" in cfg.TRANSFORMS:
            steps.append(T.Normalize(mean=cfg.PIXEL_MEAN, std=cfg.PIXEL_STD))
        return T.Compose(steps)

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        item = self.data_source[idx]
        output = {"label": item.label, "domain": item.domain, "impath": item.impath, "index": idx}
        image = read_image(item.impath)
        if self.transform is None:
            output["img"] = image
        elif isinstance(self.transform, (list, tuple)):
            for number, tfm in enumerate(self.transform, start=1):
                output["img" if number == 1 else f"img{number}"] = self._transform_image(tfm, image)
        else:
            output["img"] = self._transform_image(self.transform, image)
        if self.return_img0:
            output["img0"] = self.to_tensor(image)
        return output

    def _transform_image(self, tfm: Transform, img0: Image.Image) -> Any:
        views = [tfm(img0) for _ in range(self.k_tfm)]
        return views[0] if len(views) == 1 else views
