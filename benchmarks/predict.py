"""Photographs per second of a classifier, from JPEG files to probabilities, beside its bare image tower.

    python -m benchmarks.predict [--towers RN50,ViT-B/16] [--threads 2] [--photos 48] [--side 640] [--json]

RN50 and ViT-B/16 get random weights, so that nothing is downloaded; any other name is loaded like MODEL.BACKBONE.NAME.
The tower alone encodes photographs that were read, resized and stacked before, in batches of the same size. A ratio of
1 means that reading costs nothing, since it happens while the tower encodes; beyond 1 the classifier is slower.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.common import TOWERS, arguments, as_tower, device, paired, parsed, random_clip, show
from classifier.bundle import Bundle, used
from classifier.classifier import Classifier
from classifier.heads import LinearHead
from prompting.losses import unit
from prompting.photographs import read_image
from prompting.tasks import Task, TaskLayout
from prompting.towers import Tower, load_tower
from prompting.transfers import sent
from prompting.views import Shown, images_at_a_time

SIZES = (10, 20, 5)  # classes of three tasks


def tower_named(name: str) -> Tower:
    """Return a tower, with random weights if it is one of TOWERS."""
    if name in TOWERS:
        return as_tower(random_clip(TOWERS[name]), name, device=device())
    return load_tower(name, device())


def classifier_of(tower: Tower) -> Classifier:
    """Return a classifier with random class features."""
    tasks = (Task(f"task {size}", tuple(f"class {number}" for number in range(size))) for size in SIZES)
    layout = TaskLayout(tuple(tasks))
    weight = unit(torch.randn(layout.n_classes, tower.text.feature_dim, generator=torch.Generator().manual_seed(0)))
    head = LinearHead(layout, weight, 100.0).to(tower.text.device)
    bundle = Bundle(
        Path(), layout, shown_to(tower), used(tower, "fp32", False, ""), "benchmark", (), (), (), (), [], {}
    )
    return Classifier([bundle], [head], tower, layout)


def write_photographs(folder: Path, count: int, side: int) -> list[str]:
    """Write JPEG files of side x 3/4 side pixels, with coarse structure and some noise, and return their paths."""
    rng = np.random.default_rng(0)
    size = (side, side * 3 // 4)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse, dtype=np.int16) + rng.integers(-8, 9, (size[1], size[0], 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)
    return sorted(map(str, folder.iterdir()))


def shown_to(tower: Tower) -> Shown:
    """Return the pixels that a tower was trained on."""
    own = tower.preprocessing
    return Shown((own.size, own.size), own.mean, own.std, own.interpolation, own.resize_mode)


def row(name: str, photos: int, side: int, rounds: int) -> dict[str, object]:
    """Measure a tower."""
    tower = tower_named(name)
    classifier = classifier_of(tower)
    size = images_at_a_time(tower.text.device, tower.preprocessing.size)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(Path(folder), photos, side)
        views = torch.stack([classifier.view(read_image(path)) for path in paths]).split(size)

        def bare() -> None:
            with torch.no_grad():
                for batch in views:
                    tower.encode_image(sent(batch, tower.text.device)).cpu()

        def predicted() -> None:
            for _ in classifier.stream(paths, read_image):
                pass

        time = paired(bare, predicted, rounds)
    return {
        "tower": name,
        "pixels": tower.preprocessing.size,
        "bare tower img/s": photos / time.plain,
        "photographs/s": photos / time.ours,
        "time / bare": 1 / time.ratio,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--towers", default="RN50,ViT-B/16")
    parser.add_argument("--photos", type=int, default=48, help="number of photographs (default 48)")
    parser.add_argument("--side", type=int, default=640, help="their longer side in pixels (default 640)")
    args = parsed(parser)
    show([row(name, args.photos, args.side, args.rounds) for name in args.towers.split(",")], args.json)


if __name__ == "__main__":
    main()
