"""A tiny random CLIP for all tests, so that none needs weights from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from prompting.towers import Tower, load_tower
from tests.support.towers import in_double, random_clip

torch.set_num_threads(1)
os.environ.pop("COLUMNS", None)  # tables take all of it; pytest-xdist sets it


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state dict of a random CLIP on disk; its image tower is a ViT for 32-pixel images."""
    path = tmp_path_factory.mktemp("tower") / "tiny.pt"
    torch.save(random_clip().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tower(checkpoint: Path) -> Tower:
    """The random CLIP in float32, loaded from its checkpoint."""
    return load_tower(str(checkpoint))


@pytest.fixture(scope="session")
def tower64(checkpoint: Path) -> Tower:
    """The random CLIP in float64, for comparisons with formulas."""
    return in_double(load_tower(str(checkpoint)))
