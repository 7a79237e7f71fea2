"""Compares learning rates, samples, batches, logits, steps and results with upstream 0.6.3 on PyTorch 2.1.2."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.modeling import BACKBONE_REGISTRY

from . import side_by_side

UPSTREAM = json.loads((Path(__file__).parent / "upstream_behaviour.json").read_text())


@pytest.fixture(autouse=True)
def restore_state(monkeypatch):
    """Restore registries and random generators, which other tests use too."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    for registry in (DATASET_REGISTRY, BACKBONE_REGISTRY, TRAINER_REGISTRY):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    side_by_side.register()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


# Upstream's figures were made with Pillow 13. Other versions (Python 3.10 only has up to 12) round some pixels of a
# resized image to the neighbouring grey level, which changes its mean: by 2.2e-4 with Pillow 12.3.
RESIZED = ("transforms", "batches")
ROUNDING = 2e-6 if PIL.__version__.startswith("13.") else 5e-4


def differences(upstream, ours, where="", tolerance=2e-6):
    """Return lines "where: upstream's, ours"; floats may differ by 5e-6 relatively, or by ``tolerance``."""
    if isinstance(upstream, dict) and isinstance(ours, dict) and upstream.keys() == ours.keys():
        return [line for key in upstream for line in differences(upstream[key], ours[key], f"{where}/{key}", tolerance)]
    if isinstance(upstream, list) and isinstance(ours, list) and len(upstream) == len(ours):
        pairs = enumerate(zip(upstream, ours, strict=True))
        return [line for place, pair in pairs for line in differences(*pair, f"{where}/{place}", tolerance)]
    if isinstance(upstream, float) and isinstance(ours, float):
        equal = math.isclose(upstream, ours, rel_tol=5e-6, abs_tol=tolerance)
    else:
        equal = type(upstream) is type(ours) and upstream == ours
    return [] if equal else [f"{where}: {upstream!r}, {ours!r}"]


def test_all_cases_have_figures():
    assert list(UPSTREAM) == list(side_by_side.CASES)


@pytest.mark.parametrize("name", side_by_side.CASES)
def test_results_match_upstream(name):
    ours = json.loads(json.dumps(side_by_side.CASES[name]()))
    assert differences(UPSTREAM[name], ours, tolerance=ROUNDING if name in RESIZED else 2e-6)[:5] == []


def test_differences_are_found():
    assert differences({"a": [1, 2.0]}, {"a": [1, 2.0000001]}) == []
    assert differences({"a": [1, 2.0]}, {"a": [1, 2.001]}) == ["/a/1: 2.0, 2.001"]
    assert differences([1, 2], [1]) == [": [1, 2], [1]"]
    assert differences([1], ["1"]) == ["/0: 1, '1'"]
