"""Settings of the public repositories that users come from."""

import pytest

from common.errors import InputError
from runs.config import load_config


def test_csc_is_coops_context_per_class():
    assert load_config("garden8", "CoOp", [("TRAINER.COOP.CSC", "True")]).TRAINER.COOP.CONTEXT == "class"
    assert load_config("garden8", "CoOp", [("TRAINER.COOP.CSC", "False")]).TRAINER.COOP.CONTEXT == "task"


def test_a_file_of_the_released_code_is_taken(tmp_path):
    file = tmp_path / "released.yaml"
    file.write_text("TEST:\n  PER_TASK_RESULT: True\n  EVALUATOR: ClassificationMT\nTRAINER:\n  COOP:\n    CSC: True\n")
    cfg = load_config("garden8", "CoOp", config=file)
    assert cfg.TRAINER.COOP.CONTEXT == "class" and cfg.TEST.EVALUATOR == "Classification"


@pytest.mark.parametrize(
    ("key", "value", "here"),
    [
        ("TRAINER.MTCOOP.N_CTX", "16", "TRAINER.SOFTCPT.N_CTX"),
        ("TRAINER.MTCOOP.TASK_CSC", "True", "TRAINER.SOFTCPT.VARIANT"),
        ("TRAINER.COOP.W", "8.0", "TRAINER.KGCOOP.W"),
        ("LOSS.T", "1.0", "TRAINER.PROGRAD.T"),
    ],
)
def test_a_key_with_another_name_here_is_named(key, value, here):
    with pytest.raises(InputError, match=f"{key}.*{here}"):
        load_config("garden8", "CoOp", [(key, value)])


def test_the_released_trainers_are_named():
    with pytest.raises(InputError, match="MTCoOp.*SoftCPT"):
        load_config("garden8", "MTCoOp")


def test_a_context_per_class_that_plot_does_not_have_is_refused():
    load_config("garden8", "PLOT", [("TRAINER.PLOT.CSC", "False")])
    with pytest.raises(InputError, match="TRAINER.PLOT.CSC"):
        load_config("garden8", "PLOT", [("TRAINER.PLOT.CSC", "True")])


def test_whole_numbers_are_taken_for_floats(tmp_path):
    file = tmp_path / "weights.yaml"
    file.write_text("TRAINER:\n  PROMPTSRC:\n    TEXT_LOSS_WEIGHT: 25\n")
    weight = load_config("garden8", "PromptSRC", config=file).TRAINER.PROMPTSRC.TEXT_LOSS_WEIGHT
    decay = load_config("garden8", "CoOp", [("OPTIM.WEIGHT_DECAY", "0")]).OPTIM.WEIGHT_DECAY
    assert (weight, decay) == (25.0, 0.0) and isinstance(weight, float) and isinstance(decay, float)


@pytest.mark.parametrize(("key", "value"), [("OPTIM.LR", "True"), ("OPTIM.LR", "fast"), ("OPTIM.MAX_EPOCH", "2.5")])
def test_other_types_are_still_refused(key, value):
    with pytest.raises(InputError, match=key):
        load_config("garden8", "CoOp", [(key, value)])
