"""A collection of two tasks with a few noise images, and short runs on it with a tiny tower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from dassl.engine import build_trainer
from dassl.utils import load_checkpoint, set_random_seed
from PIL import Image
from torch import Tensor
from yacs.config import CfgNode

from common.paths import CHECKPOINTS, REPOSITORY
from runs.config import load_config
from runs.results import read_results
from runs.run import Request, run
from tests.support.images import write_images
from tests.support.towers import random_clip
from trainers.engine.checkpoint_fit import noted_seconds
from trainers.engine.task_trainer import TaskTrainer

RECIPE = REPOSITORY / "configs" / "trainers" / "_ep50.yaml"
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
COLOURS = ((220, 40, 60), (60, 200, 60), (60, 60, 220), (20, 20, 90), (240, 230, 120))

# Methods that are not trained by epochs, so that there is nothing to resume.
AT_ONCE = {"ZeroshotCLIP", "ZeroshotCLIP-ensemble", "Residual", "LP-CLIP", "ProtoNet", "LPPlusPlus", "CLAP"}
AT_ONCE |= {"Tip-Adapter"}
# Settings that fit the tiny tower, whose two towers have two blocks each, or that save time. For a new method there is
# an entry only if its defaults do not fit.
SETTINGS = {
    "LP-CLIP": ("TRAINER.LINEARPROBE.C", "1.0"),
    "LPPlusPlus": ("TRAINER.LPPLUSPLUS.ITERATIONS", "30"),
    "Tip-Adapter": ("TRAINER.TIPADAPTER.STEPS_BETA", "5"),
    "Tip-Adapter-F": ("TRAINER.TIPADAPTER.STEPS_BETA", "5"),
    "MaPLe": ("TRAINER.MAPLE.PROMPT_DEPTH", "2"),
    "PromptSRC": ("TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT", "2", "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION", "2"),
    "CLIP-LoRA": ("TRAINER.CLIPLORA.ITERATIONS", "2"),
}


def pairs_of(words: Sequence[str]) -> list[tuple[str, str]]:
    """("KEY", "VALUE", ...) as pairs."""
    return list(zip(words[::2], words[1::2], strict=True))


class Workplace:
    """A data root, a collection declared in it, an output folder, and short runs there.

    A ``method`` is a name of the catalogue, such as "CoOp-CA", or a trainer, such as "CoOp". ``words`` are settings
    as on a command line: "KEY", "VALUE", ...
    """

    def __init__(self, folder: Path, checkpoint: Path):
        self.root, self.output, self.checkpoint = folder / "data", folder / "output", checkpoint
        self.declaration = folder / "tiny.yaml"
        self.declaration.write_text(DECLARATION)
        for number, (task, names) in enumerate(CLASSES.items()):
            for k, name in enumerate(names):
                write_images(self.root / "tiny" / task / name, 10, seed=10 * number + k)

    def give_classes_colours(self) -> None:
        """Replace the images, which are noise on any colour, by noise on a colour of their class."""
        names = [f"{task}/{name}" for task, classes in CLASSES.items() for name in classes]
        for name, colour in zip(names, COLOURS, strict=True):
            for number, file in enumerate(sorted((self.root / "tiny" / name).iterdir())):
                noise = torch.randint(-40, 40, (36, 40, 3), generator=torch.Generator().manual_seed(number))
                pixels = (torch.tensor(colour) + noise).clamp(0, 255).byte()
                Image.fromarray(pixels.numpy()).save(file)

    def settings(self, epochs: int = 3) -> dict[str, str]:
        """The settings of a short run."""
        return {
            "DATASET.NUM_SHOTS": "2",
            "MODEL.BACKBONE.NAME": str(self.checkpoint),
            "INPUT.SIZE": "(32, 32)",
            "DATALOADER.NUM_WORKERS": "0",
            "DATALOADER.TRAIN_X.BATCH_SIZE": "4",
            "OPTIM.MAX_EPOCH": str(epochs),
            "BANK.DIR": str(self.output / ".bank"),
        }

    def flags(self, trainer: str, name: str = "run", *words: str, seed: int = 1, epochs: int = 3) -> list[str]:
        """The arguments of train.py for a run in the folder ``name``."""
        flags = {
            "--root": self.root,
            "--seed": seed,
            "--trainer": trainer,
            "--dataset-config-file": self.declaration,
            "--config-file": RECIPE,
            "--output-dir": self.output / name,
            **self.settings(epochs),
        }
        return [*(str(word) for pair in flags.items() for word in pair), *words]

    def config(self, method: str, name: str = "run", *words: str, seed: int = 1, epochs: int = 3) -> CfgNode:
        """The settings of a run in the folder ``name``."""
        places: list[tuple[str, Any]] = [
            ("DATASET.ROOT", self.root),
            ("OUTPUT_DIR", self.output / name),
            ("SEED", seed),
        ]
        overrides = [*places, *self.settings(epochs).items(), *pairs_of(words)]
        return load_config(self.declaration, method, overrides, RECIPE)

    def run(self, method: str, name: str = "run", *words: str, **kwargs: Any) -> dict[str, Any]:
        """Train and test; returns the results."""
        return run(self.config(method, name, *words, **kwargs), Request(brief=True))

    def evaluate(
        self, of: str, method: str, name: str, *words: str, epoch: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Evaluate the checkpoint of the run in the folder ``of``, in the folder ``name``; "" for no checkpoint."""
        model_dir = str(self.output / of) if of else ""
        request = Request(evaluate=True, model_dir=model_dir, load_epoch=epoch, brief=True)
        return run(self.config(method, name, *words, **kwargs), request)

    def trainer(self, method: str, *words: str, **kwargs: Any) -> Any:
        """The built trainer, before training."""
        cfg = self.config(method, "built", *words, **kwargs)
        set_random_seed(1)
        return build_trainer(cfg)

    def learned(self, name: str, epoch: int) -> dict[str, Tensor]:
        """The learner's state in the checkpoint of an epoch."""
        return load_checkpoint(str(self.output / name / CHECKPOINTS / f"model.pth.tar-{epoch}"))["state_dict"]

    def killed_run(self, method: str, name: str, *words: str, at: int, **kwargs: Any) -> None:
        """A run that is killed before epoch ``at``."""
        before_epoch = TaskTrainer.before_epoch

        def killed(self: TaskTrainer) -> None:
            if self.epoch == at:
                raise KeyboardInterrupt
            before_epoch(self)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(TaskTrainer, "before_epoch", killed)
            self.run(method, name, *words, **kwargs)
        assert read_results(self.output / name) is None

    def resumed_equals(
        self, whole: dict[str, Any], of: str, method: str, name: str, *words: str, at: int, epochs: int
    ) -> None:
        """Assert that a run killed before epoch ``at`` and resumed equals the uninterrupted one in the folder ``of``:
        the same results and, bit for bit, the same learner."""
        self.killed_run(method, name, *words, at=at, epochs=epochs)
        seconds_before = noted_seconds(self.output / name)
        resumed = self.run(method, name, *words, epochs=epochs)
        assert resumed["resumed_from_epoch"] == at and whole["resumed_from_epoch"] == 0
        assert resumed["tasks"] == whole["tasks"]
        assert 0 < seconds_before < resumed["seconds"]["train"] < resumed["seconds"]["total"]
        assert same_state(self.learned(of, epochs), self.learned(name, epochs))

    def killed_and_resumed(self, method: str, *words: str, epochs: int = 4, at: int = 2) -> dict[str, Any]:
        """The results of an uninterrupted run in the folder "whole", after `resumed_equals`."""
        whole = self.run(method, "whole", *words, epochs=epochs)
        self.resumed_equals(whole, "whole", method, "parts", *words, at=at, epochs=epochs)
        return whole


def same_state(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """True if two state dicts are equal, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture
def workplace(tmp_path: Path, checkpoint: Path) -> Workplace:
    return Workplace(tmp_path, checkpoint)


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small ResNet CLIP, 64-pixel input."""
    path = tmp_path_factory.mktemp("resnet") / "resnet.pt"
    torch.save(random_clip(vision_layers=(1, 1, 1, 1), image_size=64).state_dict(), path)
    return path
