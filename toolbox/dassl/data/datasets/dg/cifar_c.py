"""CIFAR-10-C and CIFAR-100-C."""

from __future__ import annotations

import os.path as osp

from yacs.config import CfgNode

from ..base_dataset import DatasetBase, Datum
from ..build import DATASET_REGISTRY
from ..folders import HINT, class_folders, dataset_folder, read_class_folders

AVAI_C_TYPES = [
    "brightness",
    "contrast",
    "defocus_blur",
    "elastic_transform",
    "fog",
    "frost",
    "gaussian_blur",
    "gaussian_noise",
    "glass_blur",
    "impulse_noise",
    "jpeg_compression",
    "motion_blur",
    "pixelate",
    "saturate",
    "shot_noise",
    "snow",
    "spatter",
    "speckle_noise",
    "zoom_blur",
]


@DATASET_REGISTRY.register()
class CIFAR10C(DatasetBase):
    """From CIFAR-10 to its corrupted test images (Hendrycks and Dietterich, ICLR 2019). Class names are empty.

    Layout: ``cifar10/train/<class>/<image>`` and ``cifar10_c/<corruption>/<level>/<class>/<image>``. The corruption is
    DATASET.CIFAR_C_TYPE, the level DATASET.CIFAR_C_LEVEL (1 .. 5).
    """

    dataset_dir = ""
    domains = ["cifar10", "cifar10_c"]

    def __init__(self, cfg: CfgNode) -> None:
        self.dataset_dir = osp.normpath(dataset_folder(cfg, self.dataset_dir))
        sources, targets = list(cfg.DATASET.SOURCE_DOMAINS), list(cfg.DATASET.TARGET_DOMAINS)
        self.check_input_domains(sources, targets)
        clean, corrupted = self.domains
        if sources != [clean] or targets != [corrupted]:
            raise ValueError(
                f"{type(self).__name__} needs DATASET.SOURCE_DOMAINS = ['{clean}'] and DATASET.TARGET_DOMAINS = "
                f"['{corrupted}'], but got {sources} and {targets}"
            )
        c_type, c_level = cfg.DATASET.CIFAR_C_TYPE, cfg.DATASET.CIFAR_C_LEVEL
        if c_type not in AVAI_C_TYPES:
            raise ValueError(f'DATASET.CIFAR_C_TYPE must be one of {", ".join(AVAI_C_TYPES)}, but got "{c_type}"')
        if not 1 <= c_level <= 5:
            raise ValueError(f"DATASET.CIFAR_C_LEVEL must be 1 .. 5, but got {c_level}")
        train_dir = osp.join(self.dataset_dir, clean, "train")
        test_dir = osp.join(self.dataset_dir, corrupted, c_type, str(c_level))
        if not osp.isdir(test_dir):
            raise ValueError(f"No folder at {test_dir}; {HINT}")
        counts = [len(class_folders(folder)) for folder in (train_dir, test_dir)]
        if counts[0] != counts[1]:
            raise ValueError(
                f"{train_dir} has {counts[0]} class folders and {test_dir} has {counts[1]}; labels are positions in "
                "the sorted list of class folders, so both must have the same classes"
            )
        super().__init__(train_x=self._read_data(train_dir), test=self._read_data(test_dir))

    def _read_data(self, data_dir: str) -> list[Datum]:
        return read_class_folders(data_dir)


@DATASET_REGISTRY.register()
class CIFAR100C(CIFAR10C):
    """The same for CIFAR-100, in ``cifar100`` and ``cifar100_c``."""

    domains = ["cifar100", "cifar100_c"]
