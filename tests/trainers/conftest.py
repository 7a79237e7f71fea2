"""A two-task collection of a few noise images, and a way to run methods on it with the tiny tower."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dassl.utils import load_checkpoint

import train
from tests.support.images import write_images
from trainers.engine.base import REPOSITORY, PromptTrainer
from trainers.engine.transfer import noted_seconds

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

    def killed_and_resumed(self, trainer: str, *opts: str, epochs: int = 4, at: int = 2) -> dict:
        """Results of a run in the folder "whole", after a look that one in "parts", killed before epoch ``at`` and
        called again, comes to the same tasks and, bit for bit, to the same learner."""
        whole = self.run(trainer, "whole", *opts, epochs=epochs)
        before_epoch = PromptTrainer.before_epoch

        def killed(self):
            if self.epoch == at:
                raise KeyboardInterrupt
            before_epoch(self)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(PromptTrainer, "before_epoch", killed)
            self.run(trainer, "parts", *opts, epochs=epochs)
        assert train.read_results(self.output / "parts") is None
        before = noted_seconds(self.output / "parts")
        resumed = self.run(trainer, "parts", *opts, epochs=epochs)
        assert resumed["resumed_from_epoch"] == at and whole["resumed_from_epoch"] == 0
        assert resumed["tasks"] == whole["tasks"]
        assert 0 < before < resumed["seconds"]["train"] < resumed["seconds"]["total"]  # the killed run's count
        first, second = (self.learned(name, epochs) for name in ("whole", "parts"))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
        return whole

    def learned(self, name: str, epoch: int) -> dict[str, torch.Tensor]:
        """The state of the learner that a run kept after an epoch."""
        return load_checkpoint(str(self.output / name / "prompt_learner" / f"model.pth.tar-{epoch}"))["state_dict"]

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
