"""A whole cell (one method, collection, number of shots and seed) and a whole test, extrapolated from measured steps.

    python -m benchmarks.end_to_end [--collection Plant-6] [--shots 16] [--epochs 50] [--json]

Training: steps per epoch times epochs times the time per step (see benchmarks/train_step.py). Ours has precomputed
image features; their cost, paid once for all methods, is printed as a note. Testing: 10,000 images with their features
in the bank, compared with encoding every image and, for every batch, every prompt, as the released code does.
"""

from __future__ import annotations

import torch

from benchmarks.common import arguments, begin, layout, paired, seconds, show
from benchmarks.train_step import BATCH, TrainStep
from prompting.losses import unit, within_task
from prompting.reference import encode_plain
from prompting.text_encoder import encode

TEST_IMAGES, TEST_BATCH = 10_000, 100


def training(step: TrainStep, classes: int, shots: int, epochs: int, rounds: int) -> dict[str, object]:
    """Return the hours of training a cell, both ways."""
    steps = classes * shots // BATCH * epochs
    with torch.no_grad():
        images = seconds(lambda: step.visual(step.images))
    time = paired(step.plain_step, step.our_step, rounds)
    return {
        "work": f"training, {shots} shots, {epochs} epochs: {steps} steps",
        "plain": f"{time.plain * steps / 3600:.2f} h",
        "ours": f"{time.ours * steps / 3600:.2f} h",
        "ratio": time.ratio,
        "note": f"encoding its views once, for all methods: {images * steps / 3600:.2f} h",
    }


def testing(step: TrainStep, classes: int) -> dict[str, object]:
    """Return the seconds of testing 10,000 images, both ways; the plain time is extrapolated from two batches."""
    device = step.images.device
    contexts = torch.randn(len(step.task_prompts), 16, step.tower.width, device=device) * 0.02
    bank = unit(torch.randn(TEST_IMAGES, step.tower.feature_dim, device=device))
    label = torch.randint(0, classes, (TEST_IMAGES,), device=device)
    task = step.task_of_class[label]

    @torch.no_grad()
    def plain_batch() -> None:
        images = torch.randn(TEST_BATCH, 3, 224, 224, device=device).to(step.tower.dtype)
        image_features = unit(step.visual(images))
        parts = [step.prompts[i : i + step.part] for i in range(0, classes, step.part)]
        text_features = unit(torch.cat([encode_plain(step.tower, part, contexts) for part in parts]))
        within_task(100 * image_features @ text_features.t(), task[:TEST_BATCH], step.task_of_class).argmax(1)

    @torch.no_grad()
    def ours() -> None:
        text_features = unit(encode(step.tower, step.packed, contexts))
        for rows in range(0, TEST_IMAGES, 4096):
            part = slice(rows, rows + 4096)
            within_task(100 * bank[part] @ text_features.t(), task[part], step.task_of_class).argmax(1)

    time = paired(plain_batch, ours, 2)
    batches = TEST_IMAGES // TEST_BATCH
    return {
        "work": f"testing {TEST_IMAGES:,} images on {classes} classes",
        "plain": f"{time.plain * batches:.0f} s",
        "ours": f"{time.ours:.2f} s",
        "ratio": time.ratio * batches,
        "note": f"plain: {batches} times a measured batch",
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collection", default="Plant-6", help="collection to train on")
    parser.add_argument("--test-collection", default="General-10", help="collection to test on")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=50)
    args, tower = begin(parser)
    trained, tested = layout(args.collection), layout(args.test_collection)
    rows: list[dict[str, object]] = [
        {
            "collection": args.collection,
            **training(TrainStep(tower, trained, args.part), trained.n_classes, args.shots, args.epochs, args.rounds),
        },
        {"collection": args.test_collection, **testing(TrainStep(tower, tested, args.part), tested.n_classes)},
    ]
    show(rows, args.json, tower=args.tower, dtype=args.dtype)


if __name__ == "__main__":
    main()
