"""Weights & Biases, with a stand-in for its package."""

import sys
import types

import pytest

from common.errors import InputError


def test_weights_and_biases_gets_what_tensorboard_does(workplace, monkeypatch):
    asked, values, summary, closed = {}, [], {}, []
    run = types.SimpleNamespace(log=values.append, summary=summary, finish=lambda exit_code: closed.append(exit_code))
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **k: asked.update(k) or run))
    results = workplace.run("CoOp", "run", "WANDB.PROJECT", "flowers")
    assert (asked["project"], asked["name"]) == ("flowers", "CoOp-CA tiny seed 1") and asked["config"]["OPTIM"]["LR"]
    tags = {tag for row in values for tag in row}
    assert {"train/loss", "train/lr", "test/accuracy", "step"} <= tags and closed == [0]
    assert summary["accuracy/mean"] == results["mean"] and "accuracy/colour" in summary
    asked.clear()
    workplace.run("CoOp", "quiet")
    assert not asked
    with pytest.raises(InputError):
        workplace.run("CoOp", "refused", "WANDB.PROJECT", "flowers", "DATASET.NUM_SHOTS", "10000")
    assert closed == [0, 1]

    def offline(**_):
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=offline))
    with pytest.raises(InputError, match=r"wandb does not start \(no route to host\)"):
        workplace.run("CoOp", "other", "WANDB.PROJECT", "flowers")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        workplace.run("CoOp", "other", "WANDB.PROJECT", "flowers")
    assert not (workplace.output / "other").exists()


@pytest.mark.parametrize("project", ["a/b", "a:b", "x" * 129, "a#b", "tab\tbed"])
def test_names_that_a_project_cannot_have(workplace, project):
    with pytest.raises(InputError, match="WANDB.PROJECT is .* a project's name") as error:
        workplace.run("CoOp", "run", "WANDB.PROJECT", project)
    assert "\n" not in str(error.value) and not (workplace.output / "run").exists()
