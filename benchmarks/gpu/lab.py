"""Collections of pictures and checkpoints of random towers on disk, and trainers built on them."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from dassl.engine import TRAINER_REGISTRY, build_trainer
from dassl.utils import set_random_seed
from PIL import Image

from benchmarks.common import TOWERS, WORDS, Shape, layout, random_clip, random_layout
from common.catalogue import METHODS
from common.paths import CONFIGS
from prompting.tasks import TaskLayout
from runs.config import load_config
from trainers.engine.image_trainer import ImageTrainer

RECIPE = CONFIGS / "trainers" / "_ep50.yaml"
DISTINCT = 64  # pictures that are drawn; the others are copies that differ in their bytes alone
_runs = count()  # of the process: labs share their folder
TINY = Shape(48, 128, 3, 32, 3, 64, 8)
TINY_RESNET = Shape(48, 128, 3, 64, (1, 1, 1, 1), 16, None)


class Lab:
    """A folder for data and runs. Trainers share the towers that they load, since these are frozen."""

    def __init__(self, folder: Path, device: str):
        self.folder, self.device = folder, device

    def collection(
        self, name: str, tasks: TaskLayout, per_class: tuple[int, int, int], size: tuple[int, int] = (40, 36)
    ) -> Path:
        """Write a declared collection, and return its YAML.

        Args:
            name: a new file's, without the suffix.
            tasks: its tasks and classes; a name that a task has twice gets another word.
            per_class: pictures for training, validation and tests.
            size: width and height of a picture.
        """
        declaration = self.folder / f"{name}.yaml"
        if declaration.exists():
            return declaration
        rng, entries = Random(name), []
        titles = distinct([task.name for task in tasks.tasks], rng)
        for number, (title, task) in enumerate(zip(titles, tasks.tasks, strict=True)):
            names = distinct(list(task.classnames), rng)
            classes = {f"c{k:04}": classname for k, classname in enumerate(names)}
            template = "a photo of a {}."
            entries.append({"name": title, "folder": f"t{number}", "template": template, "classnames": classes})
            for k in range(len(names)):
                bodies = pictures(size)
                for part, images in zip(("train", "val", "test"), per_class, strict=True):
                    place = self.folder / "data" / name / f"t{number}" / part / f"c{k:04}"
                    place.mkdir(parents=True)
                    for i in range(images):
                        # Bytes after the end of a JPEG are ignored: each file has a content of its own.
                        content = bodies[(31 * number + 7 * k + i) % len(bodies)] + f"{place}{i}".encode()
                        (place / f"{i}.jpg").write_bytes(content)
        declaration.write_text(yaml.safe_dump({"folder": name, "tasks": entries}))
        return declaration

    def checkpoint(self, name: str, shape: Shape) -> Path:
        """Write a random CLIP in OpenAI's layout and float16, as OpenAI publishes them."""
        path = self.folder / f"{name.replace('/', '-')}.pt"
        if not path.exists():
            torch.save({key: value.half() for key, value in random_clip(shape).state_dict().items()}, path)
        return path

    def trainer(
        self,
        collection: Path,
        checkpoint: Path,
        method: str,
        precision: str = "fp32",
        settings: Mapping[str, object] = {},  # noqa: B006  never changed
        device: str = "",
    ) -> Any:
        """Build a method's trainer, seeded, in an output folder of its own; ``device`` is the lab's unless given."""
        defaults: dict[str, object] = {
            "DATASET.ROOT": self.folder / "data",
            "OUTPUT_DIR": self.folder / "runs" / str(next(_runs)),
            "BANK.DIR": self.folder / "bank",
            "MODEL.BACKBONE.NAME": checkpoint,
            "SEED": 1,
            "USE_CUDA": str((device or self.device) == "cuda"),
            "DATASET.NUM_SHOTS": 2,
            "DATASET.ALLOW_FEWER_SHOTS": "True",
            "DATALOADER.NUM_WORKERS": 0,
        }
        section = section_of(method)
        if section:
            defaults[f"TRAINER.{section}.PREC"] = precision
        values = {
            key: value if isinstance(value, Path) else str(value) for key, value in {**defaults, **settings}.items()
        }
        cfg = load_config(collection, method, list(values.items()), RECIPE)
        set_random_seed(1)
        with shared_towers():
            return build_trainer(cfg)


def section_of(method: str) -> str:
    """Return the config section of a method's trainer."""
    entry = METHODS.get(method)
    return str(getattr(TRAINER_REGISTRY.get(entry.trainer if entry else method), "section", ""))


_towers: dict[tuple[str, ...], Any] = {}


@contextlib.contextmanager
def shared_towers() -> Iterator[None]:
    """Let trainers load each tower once for every precision and device."""
    load = ImageTrainer.load_tower

    def cached(self: ImageTrainer) -> Any:
        cfg = self.cfg
        key = (str(cfg.MODEL.BACKBONE.NAME), str(self.knobs.PREC), str(self.device))
        if key not in _towers:
            _towers[key] = load(self)
        set_random_seed(1)  # loading draws weights that it then replaces
        return _towers[key]

    ImageTrainer.load_tower = cached  # type: ignore[method-assign]  # towers are frozen; loading would cost most
    try:
        yield
    finally:
        ImageTrainer.load_tower = load  # type: ignore[method-assign]


def forget_towers() -> None:
    """Free the memory of all towers that trainers loaded."""
    _towers.clear()


def distinct(names: list[str], rng: Random) -> list[str]:
    """Return names with a word added to each that occurred before."""
    found: list[str] = []
    for name in names:
        while name in found:
            name = f"{name} {rng.choice(WORDS)}"
        found.append(name)
    return found


@lru_cache(maxsize=4)
def pictures(size: tuple[int, int]) -> list[bytes]:
    """Return the bytes of JPEG files: smooth colours with some noise, about as large as photographs."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(DISTINCT):
        coarse = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = (image + draw.integers(-12, 13, image.shape)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def shape_of(name: str, dry: bool) -> Shape:
    """Return the shape of one of OpenAI's towers; a toy of the same kind in a dry run."""
    if not dry:
        return TOWERS[name]
    return TINY_RESNET if isinstance(TOWERS[name].vision_layers, tuple) else TINY


def tasks_of(collection: str, dry: bool) -> TaskLayout:
    """Return a collection of the published size; a few classes in a dry run."""
    return random_layout((4, 3), (1, 3), Random(collection)) if dry else layout(collection)


def workers() -> int:
    """Return a number of processes that read images: the CPUs that this process may use, at most 16."""
    try:
        return min(16, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return min(16, os.cpu_count() or 1)
