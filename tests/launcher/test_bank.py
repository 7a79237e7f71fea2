"""The command that shows and empties the feature bank."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from launcher.main import main
from prompting.feature_bank import FeatureBank


def test_showing_and_emptying(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = FeatureBank(tmp_path / ".bank")
    for number in range(3):
        bank.put({"n": number}, torch.zeros(1000, 100))
    assert main(["bank", "--output", str(tmp_path)]) == 0
    assert "3 entries, 1.2 MiB" in capsys.readouterr().out
    assert main(["--check", "bank", "--output", str(tmp_path), "--empty"]) == 0
    assert capsys.readouterr().out == "" and len(bank.entries()) == 3
    assert main(["bank", "--output", str(tmp_path), "--limit", "0.0005"]) == 0
    assert "1 entry," in capsys.readouterr().out
    assert main(["bank", "--output", str(tmp_path), "--empty"]) == 0
    assert "0 entries, 0.0 MiB" in capsys.readouterr().out and not bank.entries()
    assert main(["bank", "--output", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{tmp_path / 'none'}" in error and "--output" in error
