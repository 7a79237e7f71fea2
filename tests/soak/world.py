"""A small world for the soak: a collection, a tower, finished runs, a bank. Built once, copied often."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import train
from common.files import is_regular, read_bytes, read_json
from common.paths import CHECKPOINTS, RESULTS
from launcher import frame
from launcher import main as launcher
from tests.soak.sandbox import Command, Harm, run
from tests.support.images import write_images
from tests.support.towers import random_clip
from tests.support.training import CLASSES, DECLARATION, RECIPE

EPOCHS = 2
METHODS = ("CoOp", "SoftCPT", "LinearProbe", "TipAdapter", "CoCoOp")
SPLIT = {"train": (0, 5), "val": (5, 7), "test": (7, 10)}


@dataclass(frozen=True)
class World:
    """A folder with data/, clip.pt, tiny.yaml, recipe.yaml and output/, and the commands that run in it."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def tower(self) -> Path:
        return self.folder / "clip.pt"

    def run_folder(self, method: str, seed: int = 1) -> Path:
        """A run's folder, where the launcher would put it."""
        return self.output / "tiny" / method / "recipe" / "2shots" / f"seed{seed}"

    def train(self, method: str, *words: str, seed: int = 1, to: Path | None = None) -> Command:
        """The command that trains a run, or continues it."""
        flags = {
            "--root": self.data,
            "--seed": seed,
            "--trainer": method,
            "--dataset-config-file": self.folder / "tiny.yaml",
            "--config-file": self.folder / "recipe.yaml",
            "--output-dir": to or self.run_folder(method, seed),
        }
        settings = {
            "DATASET.NUM_SHOTS": 2,
            "MODEL.BACKBONE.NAME": self.tower,
            "INPUT.SIZE": "(32, 32)",
            "DATALOADER.NUM_WORKERS": 0,
            "DATALOADER.TRAIN_X.BATCH_SIZE": 4,
            "OPTIM.MAX_EPOCH": EPOCHS,
            "BANK.DIR": self.output / ".bank",
        }
        head = [str(word) for pair in flags.items() for word in pair]
        options = [word for word in words if word.startswith("--")]
        at = words.index(options[0]) if options else len(words)
        tail = [str(word) for pair in settings.items() for word in pair]
        return lambda: frame.run(train.answer, [*head, *words[at:], *tail, *words[:at]])

    def launch(self, *words: str) -> Command:
        """A command of launch.py."""
        return lambda: launcher.main(list(words))

    def restore(self, pristine: Path) -> None:
        """Make the world what it was; always at the same place, since runs record paths."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(pristine, self.folder, symlinks=True)

    def files(self) -> dict[str, str]:
        """A hash of every file that a user owns: pictures, splits, declaration, recipe, tower."""
        places = [self.tower, self.folder / "tiny.yaml", self.folder / "recipe.yaml", *self.data.rglob("*")]
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(read_bytes(path)).hexdigest()
            for path in places
            if is_regular(path) and ".few_shot" not in path.parts
        }


def tasks_of(folder: Path, file: str = RESULTS) -> Any:
    """The tasks' accuracies in a results file; None if there is none or it cannot be read."""
    try:
        content = read_json(folder / file)
        return [(task["name"], task["accuracy"]) for task in content["tasks"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def learned(folder: Path) -> dict[str, Any] | None:
    """The parameters in the newest checkpoint of a run's folder."""
    files = sorted((folder / CHECKPOINTS).glob("model.pth.tar-*"))
    return torch.load(files[-1], weights_only=True)["state_dict"] if files else None


def build(folder: Path, show: Callable[[str], None] = print) -> World:
    """Build the world; raises RuntimeError if a command of it fails."""
    world = World(folder)
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(DECLARATION.replace("folder: kinds", "folder: kinds\n    split: kinds.json"))
    (folder / "recipe.yaml").write_text(RECIPE.read_text("utf-8"))
    split: dict[str, list] = {part: [] for part in SPLIT}
    for number, (task, names) in enumerate(CLASSES.items()):
        for k, name in enumerate(names):
            place = world.data / "tiny" / task / name
            write_images(place, 10, seed=10 * number + k)
            if task == "kinds":
                for part, (first, last) in SPLIT.items():
                    split[part] += [[f"{name}/{i}.jpg", k, name.replace("_", " ")] for i in range(first, last)]
    (world.data / "tiny" / "kinds.json").write_text(json.dumps(split))

    def checkpoint() -> int:
        torch.save(random_clip().state_dict(), world.tower)
        return 0

    commands: Iterator[tuple[str, Command, Harm | None]] = iter(
        [
            ("the tower", checkpoint, None),
            *((method, world.train(method), None) for method in METHODS),
            ("another seed", world.train("CoOp", seed=2), None),
            ("best_val", world.train("CoOp", "TEST.FINAL_MODEL", "best_val", to=folder / "output/best"), None),
        ]
    )
    for name, command, harm in commands:
        show(f"building: {name}")
        outcome = run(command, harm)
        if outcome.status:
            raise RuntimeError(f"{name}: {outcome.text[-2000:]}")
    return world
