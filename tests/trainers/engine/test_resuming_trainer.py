"""Checkpoints: which one is loaded, resuming, and the errors."""

import json

import pytest

from common.checkpoints import checkpoint_of
from common.errors import InputError


def test_a_damaged_checkpoint_is_one_line(workplace):
    workplace.run("CoOp")
    folder = workplace.output / "run"
    (folder / "results.json").unlink()
    checkpoint = folder / "prompt_learner" / "model.pth.tar-3"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    calls = {
        "the run's folder": lambda: workplace.run("CoOp"),
        "--load-epoch": lambda: workplace.evaluate("run", "CoOp", "other", epoch=3),
    }
    for remedy, call in calls.items():
        with pytest.raises(InputError) as caught:
            call()
        error = str(caught.value)
        assert "\n" not in error and error.startswith(f"Checkpoint {checkpoint} cannot be read: ")
        assert remedy in error and error.count("another") + error.count("delete") <= 1  # one piece of advice


def test_resuming_from_elsewhere(workplace):
    workplace.run("CoOp", "short", epochs=2)
    resumed = workplace.run("CoOp", "long", "RESUME", str(workplace.output / "short"), epochs=4)
    assert resumed["resumed_from_epoch"] == 2
    with pytest.raises(InputError, match="no checkpoint .*none"):
        workplace.run("CoOp", "other", "RESUME", str(workplace.output / "none"), epochs=4)


def test_without_an_epoch_it_is_what_the_run_ended_with(workplace):
    trained = workplace.run("CoOp", epochs=3)
    folder = workplace.output / "run"
    assert checkpoint_of(folder).name == "model.pth.tar-3" and checkpoint_of(folder, 2).name == "model.pth.tar-2"
    assert workplace.evaluate("run", "CoOp", "tested")["tasks"] == trained["tasks"]
    evaluated = json.loads((workplace.output / "tested" / "evaluation.json").read_text())
    assert evaluated["checkpoint"] == trained["checkpoint"]
    workplace.run("CoOp", "best", "TEST.FINAL_MODEL", "best_val")
    assert checkpoint_of(workplace.output / "best").name == "model-best.pth.tar"
    with pytest.raises(InputError, match="No trained model at .*none"):
        workplace.evaluate("none", "CoOp", "other")
