"""TRAIN.DETERMINISTIC: what PyTorch is set to during a run, and that such a run learns the same."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from common.errors import InputError
from runs.determinism import WORKSPACE, algorithms
from tests.support.training import Workplace
from trainers.engine.task_trainer import TaskTrainer


def state() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


def test_settings_hold_during_the_context_alone(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)
    before = state()
    with pytest.raises(KeyError), algorithms(workplace.config("CoOp", "run", "TRAIN.DETERMINISTIC", "True")):
        assert state() == (True, True, False) and os.environ[WORKSPACE] == ":4096:8"
        raise KeyError
    assert state() == before == (False, False, False)
    with algorithms(workplace.config("CoOp")):
        assert state() == (False, False, torch.cuda.is_available())
    monkeypatch.setenv(WORKSPACE, ":0:0")
    refused = algorithms(workplace.config("CoOp", "run", "TRAIN.DETERMINISTIC", "True"))
    with pytest.raises(InputError, match=f"{WORKSPACE}.*:0:0"), refused:
        pytest.fail("it ran")
    assert state() == before
    monkeypatch.delenv(WORKSPACE)


def test_a_deterministic_run_learns_the_same(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same bits, and up to rounding those of a usual run."""
    seen: list[tuple[bool, bool, bool]] = []
    before_epoch = TaskTrainer.before_epoch

    def watched(self: Any) -> None:
        seen.append(state())
        before_epoch(self)

    monkeypatch.setattr(TaskTrainer, "before_epoch", watched)
    for name, setting in (("usual", "False"), ("one", "True"), ("two", "True")):
        if name == "one":  # its gradient is not deterministic on a GPU
            monkeypatch.setattr("torch.nn.functional.embedding", lambda *_, **__: pytest.fail("embedding is in use"))
        workplace.run("SoftCPT-NATA", name, "TRAIN.DETERMINISTIC", setting)
    assert seen == [(False, False, False)] * 3 + [(True, True, False)] * 6
    usual, one, two = (workplace.learned(name, 3) for name in ("usual", "one", "two"))
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
        torch.testing.assert_close(value, usual[key], rtol=1e-4, atol=1e-6)
