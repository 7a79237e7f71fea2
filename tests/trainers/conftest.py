"""A two-task collection of a few noise images, and a way to run methods on it with the tiny tower."""

from __future__ import annotations

from pathlib import Path

import pytest

import train
from tests.conftest import write_images
from trainers.base import REPOSITORY

DECLARATION = """
folder: tiny
tasks:
  - name: kind of flower
    folder: kinds
    template: "a photo of a {}, a type of flower."
  - name: colour
    folder: colours
    metric: C
    classnames: {dark_red: crimson}
"""
CLASSES = {"kinds": ("rose", "tulip", "ox-eye_daisy"), "colours": ("blue", "dark_red")}


class Workplace:
    """A data root, a collection declared in it, an output folder and the flags of a short run."""

    def __init__(self, folder: Path, checkpoint: Path):
        self.root, self.output, self.checkpoint = folder / "data", folder / "output", checkpoint
        self.declaration = folder / "tiny.yaml"
        self.declaration.write_text(DECLARATION)
        for number, (task, names) in enumerate(CLASSES.items()):
            for k, name in enumerate(names):
                write_images(self.root / "tiny" / task / name, 10, seed=10 * number + k)

    def flags(self, trainer: str, name: str = "run", *opts: str, seed: int = 1, epochs: int = 3) -> list[str]:
        settings = {
            "DATASET.NUM_SHOTS": "2",
            "MODEL.BACKBONE.NAME": str(self.checkpoint),
            "INPUT.SIZE": "(32, 32)",
            "DATALOADER.NUM_WORKERS": "0",
            "DATALOADER.TRAIN_X.BATCH_SIZE": "4",
            "OPTIM.MAX_EPOCH": str(epochs),
            "BANK.DIR": str(self.output / ".bank"),
        }
        pairs = [part for pair in settings.items() for part in pair]
        return [
            *("--root", str(self.root), "--seed", str(seed), "--trainer", trainer),
            *(
                "--dataset-config-file",
                str(self.declaration),
                "--config-file",
                str(REPOSITORY / "configs/trainers/ep50.yaml"),
            ),
            *("--output-dir", str(self.output / name)),
            *pairs,
            *opts,
        ]

    def run(self, trainer: str, name: str = "run", *opts: str, **kwargs) -> dict:
        return train.run(self.flags(trainer, name, *opts, **kwargs), brief=True)

    def trainer(self, trainer: str, *opts: str, **kwargs):
        """The built trainer, without training it."""
        from dassl.engine import build_trainer
        from dassl.utils import set_random_seed

        cfg = train.setup_cfg(train.parse_args(self.flags(trainer, "built", *opts, **kwargs)))
        set_random_seed(1)
        return build_trainer(cfg)


@pytest.fixture
def workplace(tmp_path, checkpoint) -> Workplace:
    return Workplace(tmp_path, checkpoint)
