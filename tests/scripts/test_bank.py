"""The command that shows and empties the feature bank."""

import importlib.util
from pathlib import Path

import torch

from prompting.feature_bank import FeatureBank

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bank.py"


def test_showing_and_emptying(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("bank_under_test", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    bank = FeatureBank(tmp_path / ".bank")
    for number in range(3):
        bank.put({"n": number}, torch.zeros(1000, 100))
    assert script.main(["--output", str(tmp_path)]) == 0
    assert "3 entries, 1.2 MiB" in capsys.readouterr().out
    assert script.main(["--output", str(tmp_path), "--limit", "0.0005"]) == 0
    assert "1 entries" in capsys.readouterr().out
    assert script.main(["--output", str(tmp_path), "--empty"]) == 0
    assert "0 entries, 0.0 MiB" in capsys.readouterr().out and not bank.entries()
    assert script.main(["--output", str(tmp_path / "none")]) == 2
