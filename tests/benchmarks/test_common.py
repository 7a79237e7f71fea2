"""Benchmarks in every precision: towers are converted as training converts them, learned parameters stay float32."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import Shape, as_tower, random_clip, random_layout
from benchmarks.gpu.text import packed_flops, plain_flops
from benchmarks.text_encoder import Step
from common.paths import REPOSITORY
from prompting.losses import unit
from prompting.text_encoder import PackedPrompts
from prompting.text_tower import TextTower

SHAPE = Shape(48, 128, 3)


def step_in(dtype: torch.dtype, class_specific: bool = False) -> Step:
    """The text side of a step with 12 classes of two tasks."""
    text = as_tower(random_clip(SHAPE), "random", dtype).text
    assert isinstance(text, TextTower)
    return Step(text, random_layout((5, 7), (1, 3), Random(0)), class_specific, 64)


def test_a_bfloat16_tower_keeps_normalisation_and_parameters_in_float32() -> None:
    step = step_in(torch.bfloat16)
    assert step.tower.dtype == torch.bfloat16
    norms = [module for module in step.tower.modules() if isinstance(module, nn.LayerNorm)]
    assert norms and all(norm.weight.dtype == torch.float32 for norm in norms)
    (ours, our_gradients), (plain, plain_gradients) = step.ours(), step.plain()
    exact = step_in(torch.float32).ours()[0]
    for features in (ours, plain):
        assert 0 < float((unit(features) - unit(exact)).abs().max()) < 0.05
    for a, b in zip(our_gradients, plain_gradients, strict=True):
        assert a.dtype == torch.float32 and float((a - b).norm() / b.norm()) < 0.1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which computes in float16")
def test_float16_without_a_gpu_is_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks.growth", "--dtype", "float16"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "--dtype float16" in done.stderr


@pytest.mark.parametrize("way", ["ours", "plain"])
def test_the_arithmetic_of_linear_layers_is_what_pytorch_counts(way: str) -> None:
    """In bfloat16, since oneDNN's product, which float32 takes, is not counted; nor is a CPU's attention."""
    step = step_in(torch.bfloat16, class_specific=True)
    counter: Any = FlopCounterMode(display=False)
    with counter:
        getattr(step, way)()
    assert isinstance(step.packed, PackedPrompts)
    linear, attention = (
        packed_flops(step.tower, step.packed) if way == "ours" else plain_flops(step.tower, len(step.prompts))
    )
    assert linear <= counter.get_total_flops() * (1 + 1e-6)
    assert counter.get_total_flops() <= (linear + attention) * (1 + 1e-6)
