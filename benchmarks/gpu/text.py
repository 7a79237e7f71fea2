"""The text side of a training step, packed and padded: time, memory, tokens a second, share of the arithmetic limit."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch

from benchmarks.common import COLLECTIONS, TOWERS, as_tower, random_clip
from benchmarks.gpu.bench import DTYPES, Bench
from benchmarks.gpu.lab import shape_of, tasks_of
from benchmarks.text_encoder import Result, Step
from prompting.losses import unit
from prompting.text_encoder import PackedPrompts, pack
from prompting.text_tower import TextTower

PARTS = (256, 64, 16)  # classes that the padded path encodes at once, until they fit the memory
ORDER = (("RN50", "fp16"), ("ViT-B/16", "fp16"), ("RN50", "fp32"), ("ViT-B/16", "fp32"))


def text_towers(bench: Bench) -> dict[str, Any]:
    """Return a random CLIP on the CPU for each shape, with the smallest image tower."""
    return {name: random_clip(shape_of(name, bench.dry).blind()) for name in TOWERS}


def on_device(bench: Bench, model: Any, precision: str) -> TextTower:
    """Return a copy of a CLIP's text tower, on the device and in a precision."""
    text = as_tower(copy.deepcopy(model), "random", DTYPES[precision], bench.device).text
    assert isinstance(text, TextTower)
    return text


def matmul_peak(bench: Bench, precision: str) -> float:
    """Return the TFLOP/s of one large product of square matrices."""
    size = 256 if bench.dry else 4096 if precision == "fp32" else 8192
    a, b = (torch.randn(size, size, device=bench.device).to(DTYPES[precision]) for _ in range(2))
    ms, _ = bench.timed(lambda: a @ b, rounds=10, warm=5)
    return 2 * size**3 / ms / 1e9


def packed_flops(tower: TextTower, packed: PackedPrompts) -> tuple[float, float]:
    """Return the floating-point operations of `encode` and its backward pass: of linear layers and of attention.

    The weights are frozen, so the backward pass costs as much as the forward pass in linear layers, twice as much in
    attention. The last layer computes keys and values for all tokens, and everything else for the end tokens alone.
    """
    width, layers = tower.width, len(tower.blocks)
    tokens, ends = len(packed.tokens), len(packed.ends)
    rows, _, length, _ = packed.mask.shape
    linear = 2 * width**2 * (12 * tokens * (layers - 1) + 2 * tokens + 10 * ends) + 2 * width * tower.feature_dim * ends
    attention = 4 * width * rows * length * (length * (layers - 1) + packed.end_mask.shape[2])
    return 2.0 * linear, 3.0 * attention


def plain_flops(tower: TextTower, prompts: int) -> tuple[float, float]:
    """Return the same for padded prompts: every position in every layer, the projection for the end tokens."""
    length, width = tower.positional_embedding.shape[0], tower.width
    linear = len(tower.blocks) * 24 * width**2 * prompts * length + 2 * width * tower.feature_dim * prompts
    return 2.0 * linear, 3.0 * len(tower.blocks) * 4 * width * prompts * length**2


def plain_in_parts(step: Step) -> Result:
    """Run the padded path, in smaller parts if the memory requires it; sets ``step.part``."""
    for part in PARTS:
        step.part = part
        try:
            return step.plain()
        except torch.cuda.OutOfMemoryError:
            if part == PARTS[-1]:
                raise
            torch.cuda.empty_cache()
    raise AssertionError("the loop returns or raises")


def measured(bench: Bench, step: Step, peak: float, plain: bool) -> dict[str, Any]:
    """Return the columns of a row; ``peak`` is the arithmetic limit in TFLOP/s."""
    prompts = len(step.prompts) + len(step.task_prompts)
    ours, our_gradients = step.ours()
    assert isinstance(step.packed, PackedPrompts) and isinstance(step.packed_tasks, PackedPrompts)  # no limit is set
    flops = sum(packed_flops(step.tower, step.packed)) + sum(packed_flops(step.tower, step.packed_tasks))
    row: dict[str, Any] = {"classes": len(step.prompts), "positions": step.positions, "positions_plain": 77 * prompts}
    row["ms"], row["gib"] = bench.timed(step.ours, 3 if bench.dry else 20)
    row["tokens_a_second"] = 1e3 * step.positions / row["ms"]
    row["share_of_limit"] = flops / row["ms"] / 1e9 / peak
    began = time.perf_counter()
    pack(step.prompts)
    row["pack_ms"] = 1e3 * (time.perf_counter() - began)
    if not plain:
        return row
    features, gradients = plain_in_parts(step)
    row["feature_difference"] = float((unit(ours) - unit(features)).abs().max())
    pairs = zip(our_gradients, gradients, strict=True)
    row["gradient_difference"] = max(float((a - b).float().norm() / b.float().norm()) for a, b in pairs)
    row["plain_ms"], row["plain_gib"] = bench.timed(step.plain, 1 if bench.dry else 5, warm=1)
    row["plain_part"] = step.part
    row["plain_tokens_a_second"] = 1e3 * row["positions_plain"] / row["plain_ms"]
    row["plain_share_of_limit"] = sum(plain_flops(step.tower, prompts)) / row["plain_ms"] / 1e9 / peak
    row["ratio"] = row["plain_ms"] / row["ms"]
    return row


def section(bench: Bench) -> None:
    models = text_towers(bench)
    peaks: dict[str, float] = {}
    for precision in ("bf16", "fp32") if bench.dry else DTYPES:
        with bench.making(0, matmul=precision) as row:
            if row is not None:
                row["tflops"] = peaks[precision] = matmul_peak(bench, precision)
    for name, precision in ORDER if not bench.dry else (("RN50", "fp32"), ("ViT-B/16", "bf16")):
        peak = peaks.get(precision, float("nan"))
        tower: TextTower | None = None
        for collection in COLLECTIONS if not bench.dry else ("Plant-6",):
            with bench.making(3, tower=name, collection=collection, precision=precision) as row:
                if row is None:
                    continue
                if tower is None:
                    tower = on_device(bench, models[name], precision)
                step = Step(tower, tasks_of(collection, bench.dry), False, PARTS[0])
                row |= measured(bench, step, peak, plain=True)
            bench.free()


def same_bits(bench: Bench, step: Step, rounds: int) -> dict[str, Any]:
    """Repeat a step; return whether all gradients are the same bit for bit, and their largest relative difference."""
    first = [gradient.clone() for gradient in step.ours()[1]]
    same, worst = True, 0.0
    for _ in range(rounds):
        for a, b in zip(first, step.ours()[1], strict=True):
            same = same and torch.equal(a, b)
            worst = max(worst, float((a - b).abs().max() / a.abs().max()))
    return {"same_bits": same, "largest_relative_difference": worst}
