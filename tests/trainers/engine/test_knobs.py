"""Every setting that a run reads has a range, a list of values, or a reason to have none."""

from __future__ import annotations

from typing import Any

import pytest
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

import trainers
from common.errors import InputError
from common.knobs import DASSL, Knob
from trainers.engine.knobs import COMMON, OF_DASSL, check_settings, knobs_of
from trainers.engine.settings import known_keys, set_value, value_of

# Text that is checked where it is used, in one line: a name, a path, or words.
FREE = {
    "DATASET.DECLARATION": "filled in",
    "MODEL.BACKBONE.DIGEST": "filled in",
    "MODEL.FROM": "a folder",
    "MODEL.FROM_DIGEST": "filled in",
    "MODEL.BACKBONE.IMAGES": "filled in",
    "INPUT.GIVEN": "filled in",
    "DATASET.SUBSAMPLE_CLASSES": "checked with the data set",
    "DATASET.SUBSAMPLE_TASKS": "names tasks",
    "DATASET.DRAWS": "a folder",
    "DATASET.FOLD": "checked with the data set",
    "BANK.DIR": "a folder",
    "WANDB.PROJECT": "a name",
    "TRAINER.COCOOP.CTX_INIT": "words",
    "TRAINER.COOP.CTX_INIT": "words",
    "TRAINER.KGCOOP.CTX_INIT": "words",
    "TRAINER.MAPLE.CTX_INIT": "words",
    "TRAINER.MVLPT.CTX_INIT": "words",
    "TRAINER.PROMPTSRC.CTX_INIT": "words",
    "OUTPUT_DIR": "a folder",
    "RESUME": "a folder",
    "DATASET.ROOT": "a folder",
    "DATASET.NAME": "a registered name",
    "TRAINER.NAME": "a registered name",
    "MODEL.INIT_WEIGHTS": "a file or folder",
    "MODEL.BACKBONE.NAME": "a model or a file",
    "INPUT.TRANSFORMS": "build_transform knows the names",
    "DATALOADER.TRAIN_X.SAMPLER": "build_sampler knows the names",
}
# Keys of Dassl that no run of this repository reads: those of other data sets, losses, networks and trainers.
UNREAD = (
    "VERSION",
    "DATASET.SOURCE_DOMAINS",
    "DATASET.TARGET_DOMAINS",
    "DATASET.NUM_LABELED",
    "DATASET.VAL_PERCENT",
    "DATASET.STL10_FOLD",
    "DATASET.CIFAR_C_TYPE",
    "DATASET.CIFAR_C_LEVEL",
    "DATALOADER.K_TRANSFORMS",
    "DATALOADER.TRAIN_U.",
    "MODEL.HEAD.",
    "OPTIM.NEW_LAYERS",
    "OPTIM.BASE_LR_MULT",
    "TRAIN.COUNT_ITER",
    *(f"TRAINER.{name}." for name in get_cfg_default().TRAINER if name != "NAME"),
)


def settings() -> CfgNode:
    cfg = get_cfg_default()
    trainers.extend_cfg(cfg)
    return cfg


def knobs() -> dict[str, Knob]:
    """Every knob by its whole key."""
    found = {knob.name: knob for knob in (*COMMON, *OF_DASSL)}
    for name in TRAINER_REGISTRY.registered_names():
        trainer = TRAINER_REGISTRY.get(name)
        found |= {f"TRAINER.{trainer.section}.{knob.name}": knob for knob in knobs_of(trainer)}
    return found


KNOBS = knobs()
DEFAULTS = settings()


def default_of(key: str) -> Any:
    return value_of(DEFAULTS, key)


@pytest.mark.parametrize("key", known_keys(DEFAULTS))
def test_every_key_has_a_range_or_a_reason(key):
    knob, flag = KNOBS.get(key), isinstance(default_of(key), bool)
    if knob is not None and knob.limited:
        assert knob.accepts(default_of(key)) and knob.range and key not in FREE
    elif flag:
        assert knob is None or not knob.range  # True and False are the range; yacs refuses the rest
    else:
        assert (key in FREE) != key.startswith(UNREAD), key
    assert knob is None or not key.startswith(UNREAD)


def test_no_reason_is_given_twice_or_for_nothing():
    keys = known_keys(DEFAULTS)
    assert all(key in keys for key in FREE)
    assert all(any(key.startswith(prefix) for key in keys) for prefix in UNREAD)
    assert len(KNOBS) == len({*KNOBS}) and all(key in keys for key in KNOBS)


def trainer_of(key: str) -> Any:
    """A trainer that reads a key."""
    names = TRAINER_REGISTRY.registered_names()
    sections = {TRAINER_REGISTRY.get(name).section: name for name in names if knobs_of(TRAINER_REGISTRY.get(name))}
    parts = key.split(".")
    return TRAINER_REGISTRY.get(sections[parts[1]] if parts[0] == "TRAINER" and len(parts) > 2 else "CoOp")


def refused(key: str, value: Any) -> None:
    cfg = settings()
    set_value(cfg, key, value)
    with pytest.raises(InputError) as error:
        check_settings(cfg, trainer_of(key))
    assert key in str(error.value) and "\n" not in str(error.value)


FLOATS = [key for key in KNOBS if isinstance(default_of(key), float)]
NUMBERS = [key for key in KNOBS if type(default_of(key)) in (int, float)]
LISTS = [key for key in KNOBS if isinstance(default_of(key), (list, tuple))]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("key", FLOATS)
def test_nan_and_infinity_are_refused_for_every_number(key, value):
    refused(key, value)


@pytest.mark.parametrize("key", [key for key in known_keys(DEFAULTS) if not key.startswith(UNREAD)])
def test_none_is_refused_for_every_key(key):
    refused(key, None)


@pytest.mark.parametrize("key", NUMBERS)
def test_far_below_every_range(key):
    kind = type(default_of(key))
    if key != "SEED":
        refused(key, kind(-1_000_000))
    refused(key, kind(-(10**15)))


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize(
    "values", [(), (float("nan"),) * 3, ("a", "b"), (None, None), (-(10**9),) * 2, (0.5,), (1,) * 9]
)
def test_lists_of_other_lengths_and_values(key, values):
    if key == "OPTIM.STEPSIZE" and values == (1,) * 9:
        return  # milestones of multi_step, in any number
    refused(key, values)


@pytest.mark.parametrize(
    ("key", "value", "range_"),
    [
        ("TEST.FINAL_MODEL", "best-val", "did you mean 'best_val'"),
        ("OPTIM.STEPS_PER_EPOCH", 0, "at least 1"),
        ("OPTIM.STEPS_PER_BATCH", 0, "at least 1"),
        ("TRAIN.PRINT_FREQ", 0, "at least 1"),
        ("BANK.LIMIT_GB", float("1e999"), "at least 0"),
        ("BANK.LIMIT_GB", -1.0, "at least 0"),
        ("INPUT.PIXEL_STD", [0, 0, 0], "3 numbers, each above 0"),
        ("INPUT.PIXEL_STD", [0.5, 0.5], "3 numbers"),
        ("INPUT.SIZE", (0, 0), "2 numbers, each at least 1"),
        ("INPUT.SIZE", (32.5, 32), "2 numbers"),
        ("INPUT.INTERPOLATION", "cubic", "did you mean 'bicubic'"),
        ("INPUT.NO_TRANSFORM", True, "False"),
        ("INPUT.RRCROP_SCALE", (1.0, 0.08), "ascending"),
        ("INPUT.GB_K", 4, "odd"),
        ("DATALOADER.NUM_WORKERS", -1, "at least 0"),
        ("DATALOADER.TRAIN_X.BATCH_SIZE", 0, "at least 1"),
        ("DATALOADER.TEST.SAMPLER", "RandomSampler", "SequentialSampler"),
        ("DATASET.NUM_SHOTS", -2, "at least 1, or -1"),
        ("OPTIM.NAME", "sdg", "did you mean 'sgd'"),
        ("OPTIM.LR", -0.1, "at least 0"),
        ("OPTIM.MOMENTUM", 1.0, "below 1"),
        ("OPTIM.MAX_EPOCH", 10**12, "at most"),
        ("OPTIM.WARMUP_EPOCH", -5, "at least -1"),
        ("OPTIM.WARMUP_TYPE", "cosine", "linear"),
        ("OPTIM.WARMUP_CONS_LR", -1e-5, "at least 0"),
        ("OPTIM.WARMUP_MIN_LR", -1e-5, "at least 0"),
        ("OPTIM.STEPSIZE", (-5,), "at least -1"),
        ("OPTIM.STEPSIZE", (2.5,), "at least -1"),
        ("OPTIM.STAGED_LR", True, "False"),
        ("SEED", 1 << 32, "below 4294967296"),
        ("TRAINER.COOP.N_CTX", 10**9, "at most 1000"),
        ("TRAINER.PLOT.THRESHOLD", -1.0, "at least 0"),
        ("TRAINER.TIPADAPTER.MOST_ALPHA", 0.0, "at least 0.1"),
    ],
)
def test_the_line_says_the_key_the_value_and_the_range(key, value, range_):
    cfg = settings()
    set_value(cfg, key, value)
    with pytest.raises(InputError) as error:
        check_settings(cfg, trainer_of(key))
    assert str(error.value).startswith(key) and range_ in str(error.value)


def test_dassls_defaults_are_upstreams():
    """A key with Dassl's default is one that Dassl has."""
    theirs = known_keys(get_cfg_default())
    assert all(key in theirs for key, knob in KNOBS.items() if knob.default is DASSL)


def test_a_trainer_of_another_repository_may_use_all_of_dassl() -> None:
    cfg = get_cfg_default()
    trainers.extend_cfg(cfg)
    cfg.merge_from_list(["OPTIM.STAGED_LR", "True", "DATALOADER.TEST.SAMPLER", "RandomSampler"])
    check_settings(cfg, type("Foreign", (), {}))
    with pytest.raises(InputError, match="STAGED_LR|SAMPLER"):
        check_settings(cfg, TRAINER_REGISTRY.get("CoOp"))
    cfg.merge_from_list(["OPTIM.LR", "-1.0"])
    with pytest.raises(InputError, match="OPTIM.LR"):
        check_settings(cfg, type("Foreign", (), {}))
