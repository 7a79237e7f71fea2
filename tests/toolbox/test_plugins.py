"""Behaviour that public plugins rely on, beyond the documented interface."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_the_trainer_module_provides_the_tensorboard_writer():
    code = """
import sys
import dassl.engine.trainer as trainer
assert "tensorboard" not in sys.modules
from torch.utils.tensorboard import SummaryWriter
from dassl.engine.trainer import SummaryWriter as ours
assert ours is SummaryWriter
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    import dassl.engine.trainer

    with pytest.raises(AttributeError, match="has no attribute 'NoSuchThing'"):
        dassl.engine.trainer.NoSuchThing  # noqa: B018
