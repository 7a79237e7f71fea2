"""Shared by the benchmarks: random towers and collections of the published shapes and sizes, paired timing."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from prompting.pixels import Preprocessing
from prompting.tasks import Task, TaskLayout
from prompting.text_tower import TextTower
from prompting.towers import Tower, import_clip, to_dtype
from prompting.vocabularies import of_clip

# The number of classes of every task, and the range of words per class name (drawn uniformly).
COLLECTIONS = {
    "Plant-6": ((36, 5, 9, 15, 12, 39), (1, 4)),
    "RS-8": ((30, 45, 31, 45, 7, 10, 21, 19), (1, 3)),
    "General-10": ((100, 47, 10, 100, 101, 102, 37, 196, 397, 101), (1, 4)),
    "Fashion-20": ((4,) * 18 + (3, 3), (1, 3)),
}
COLLECTIONS["All-44"] = (sum((sizes for sizes, _ in COLLECTIONS.values()), ()), (1, 4))
# The largest classification task in use, for what does not fit in memory; it is no collection of the paper.
COLLECTIONS["ImageNet-21k"] = ((21841,), (1, 3))


@dataclass(frozen=True)
class Shape:
    """A CLIP's sizes; four ``vision_layers`` make the image tower a ResNet, which has no ``patch``."""

    feature_dim: int
    text_width: int
    text_layers: int
    image_size: int = 32
    vision_layers: int | tuple[int, int, int, int] = 1
    vision_width: int = 64
    patch: int | None = 32

    def blind(self) -> Shape:
        """Return the shape with the smallest image tower, for what only needs the text side."""
        return Shape(self.feature_dim, self.text_width, self.text_layers)


TOWERS = {
    "RN50": Shape(1024, 512, 12, 224, (3, 4, 6, 3), 64, None),
    "ViT-B/16": Shape(512, 512, 12, 224, 12, 768, 16),
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
WORDS = (
    "red blue green yellow small large old young wild garden river forest city stone leaf flower tree fruit seed "
    "grass apple pear cherry lemon tomato potato pepper corn rice wheat cotton daisy rose tulip lily fern moss oak"
    " pine maple dog cat horse bird fish lion tiger bear wolf fox car truck boat plane train bridge tower church school"
    " house barn airport harbor beach desert island mountain meadow parking runway stadium bakery market kitchen office"
).split()


def random_clip(shape: Shape) -> Any:
    """Build OpenAI's CLIP with random float32 weights; the `clip` package is untyped."""
    torch.manual_seed(0)
    vision = (shape.image_size, shape.vision_layers, shape.vision_width, shape.patch)
    text = (shape.text_width, shape.text_width // 64, shape.text_layers)
    return import_clip().model.CLIP(shape.feature_dim, *vision, 77, 49408, *text)


def as_tower(model: Any, name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tower:
    """Turn a float32 CLIP, which becomes part of the result, into a tower as `load_tower` does."""
    vocabulary = of_clip(import_clip().clip._tokenizer, 49406, 49407, 77)
    tower = Tower(name, model.visual, TextTower(model, vocabulary), 100.0, Preprocessing(model.visual.input_resolution))
    tower.visual.to(memory_format=torch.channels_last)
    if dtype != torch.float32:
        to_dtype(tower, dtype)
    return tower.to(device)


def text_tower(name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> TextTower:
    """Build a random text tower in the shape of one of OpenAI's models."""
    text = as_tower(random_clip(TOWERS[name].blind()), name, dtype, device).text
    assert isinstance(text, TextTower)
    return text


def layout(collection: str) -> TaskLayout:
    """Return a collection of the published size, with random names of natural length."""
    sizes, words = COLLECTIONS[collection]
    return random_layout(sizes, words, Random(collection))


def random_layout(sizes: tuple[int, ...], words: tuple[int, int], rng: Random) -> TaskLayout:
    """Return tasks with ``sizes`` classes, whose names have ``words[0]`` to ``words[1]`` words."""
    names = [tuple(" ".join(rng.sample(WORDS, rng.randint(*words))) for _ in range(size)) for size in sizes]
    return TaskLayout(tuple(Task(" ".join(rng.sample(WORDS, 2)), classnames) for classnames in names))


REPEATS = 5


@dataclass
class Ratio:
    """Times of two implementations, measured alternately."""

    plain: float  # median seconds
    ours: float
    ratio: float  # median of the pairwise ratios


def paired(plain: Callable[[], object], ours: Callable[[], object], rounds: int, warm: bool = True) -> Ratio:
    """Time both alternately, so that a machine whose speed drifts affects both; ``warm`` first runs ``plain`` once.

    Real training only runs one of them. In each round, the first call of ``ours`` is therefore not counted, since
    ``plain`` has left the caches and the heap in its own state; the median of REPEATS further calls counts.
    """
    if warm:
        plain()
    pairs = []
    for _ in range(rounds):
        slow = seconds(plain)
        ours()
        pairs.append((slow, statistics.median(seconds(ours) for _ in range(REPEATS))))
    slow_times, fast_times = zip(*pairs, strict=True)
    return Ratio(
        statistics.median(slow_times), statistics.median(fast_times), statistics.median(a / b for a, b in pairs)
    )


def seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call, including the work it queues on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags of all benchmarks."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--threads", type=int, default=0, help="number of PyTorch threads (default: PyTorch's choice)")
    parser.add_argument("--tower", default="RN50", choices=TOWERS)
    parser.add_argument(
        "--part", type=int, default=256, help="maximum number of classes that the plain path encodes at once"
    )
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="of the frozen tower (default float32)")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the parsed flags. Exits with one line if they ask for float16 without a GPU."""
    args = parser.parse_args()
    if args.dtype == "float16" and device() == "cpu":
        parser.exit(2, "--dtype float16 needs a GPU: CPUs multiply it slowly, and PyTorch 2.1's cannot at all.\n")
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def begin(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, TextTower]:
    """Return the parsed flags and their random tower, on the GPU if there is one."""
    args = parsed(parser)
    return args, text_tower(args.tower, DTYPES[args.dtype], device())


def device() -> str:
    """Return "cuda" if there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def show(rows: list[dict[str, object]], as_json: bool, **about: object) -> None:
    """Print measurements and the setup that they were made with."""
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "gpu": gpu_name(), **about}
    if as_json:
        print(json.dumps({"about": about, "rows": rows}, indent=1))
        return
    print(", ".join(f"{key} {value}" for key, value in about.items() if value is not None))
    columns = list(rows[0])
    cells = [columns] + [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(line[c]) for line in cells) for c in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def gpu_name() -> str | None:
    """Return the name of the GPU in use, if any."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
