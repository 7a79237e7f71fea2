"""Encoding images with a frozen image tower: float32, and bfloat16 as `PREC auto` uses it.

    python -m benchmarks.images [--towers RN50,ViT-B/16] [--threads 2] [--batch 4] [--json]

RN50 and ViT-B/16 get random weights, so that nothing is downloaded; any other name is loaded like MODEL.BACKBONE.NAME.
Times are medians over alternating rounds. The features compared are those of the timed images, which are
random; the largest differences of any image are given.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.common import arguments, paired, show
from prompting.image_precision import bfloat16_units, cpu_name, in_bfloat16
from prompting.towers import import_clip, load_tower

RANDOM: dict[str, tuple[str, tuple[Any, ...]]] = {
    "RN50": ("ModifiedResNet", ((3, 4, 6, 3), 1024, 32, 224, 64)),
    "ViT-B/16": ("VisionTransformer", (224, 16, 768, 12, 12, 512)),
}


def image_tower(name: str) -> tuple[nn.Module, int]:
    """Return an image tower in float32, and the side of its images in pixels."""
    if name not in RANDOM:
        tower = load_tower(name)
        return tower.visual, tower.preprocessing.size
    kind, shape = RANDOM[name]
    torch.manual_seed(0)
    visual = getattr(import_clip().model, kind)(*shape)
    for module in visual.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics of 0 and 1 would hide mistakes
            assert module.running_mean is not None and module.running_var is not None, "BatchNorm2d tracks by default"
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return visual.eval().requires_grad_(False).to(memory_format=torch.channels_last), 224


@torch.inference_mode()
def row(name: str, batch: int, rounds: int) -> dict[str, object]:
    """Measure a tower."""
    visual, size = image_tower(name)
    half = in_bfloat16(visual, size)
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))

    def exact() -> Tensor:
        return visual(images.contiguous(memory_format=torch.channels_last))

    def rounded() -> Tensor:
        return half(images.to(torch.bfloat16, memory_format=torch.channels_last)).float()

    time = paired(exact, rounded, rounds)
    expected, got = exact(), rounded()
    return {
        "tower": name,
        "pixels": size,
        "batch": batch,
        "float32 img/s": batch / time.plain,
        "bfloat16 img/s": batch / time.ours,
        "ratio": time.ratio,
        "1 - cosine": 1 - F.cosine_similarity(expected.double(), got.double()).min().item(),
        "difference, unit norm": (F.normalize(expected) - F.normalize(got)).abs().max().item(),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--towers", default=",".join(RANDOM))
    parser.add_argument("--batch", type=int, default=4, help="images at a time (default 4, as runs on a CPU do)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = [row(name, args.batch, args.rounds) for name in args.towers.split(",")]
    show(rows, args.json, cpu=cpu_name(), units=bfloat16_units() or None)


if __name__ == "__main__":
    main()
