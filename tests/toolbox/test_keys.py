"""A key is read only when it is used: a plugin with defaults of its own may lack all the others."""

from __future__ import annotations

import pytest
from dassl.config import get_cfg_default
from dassl.data import DataManager
from dassl.data.transforms import build_transform
from dassl.data.transforms.transforms import AVAI_CHOICES
from dassl.engine import build_trainer
from dassl.optim import build_optimizer
from torch import nn
from yacs.config import CfgNode

# What the run below needs: SGD with a cosine and no warm-up, resized images, no unlabelled data. Upstream 0.6.3 reads
# these keys in the same run, and also PIXEL_MEAN, PIXEL_STD and the keys of other optimizers and schedules.
NEEDED = """
OUTPUT_DIR RESUME VERBOSE
INPUT.SIZE INPUT.INTERPOLATION INPUT.TRANSFORMS INPUT.NO_TRANSFORM
DATASET.NAME DATASET.NUM_SHOTS DATASET.SOURCE_DOMAINS DATASET.TARGET_DOMAINS
DATALOADER.NUM_WORKERS DATALOADER.K_TRANSFORMS DATALOADER.RETURN_IMG0
DATALOADER.TRAIN_X.SAMPLER DATALOADER.TRAIN_X.BATCH_SIZE DATALOADER.TEST.SAMPLER DATALOADER.TEST.BATCH_SIZE
MODEL.INIT_WEIGHTS MODEL.BACKBONE.NAME MODEL.BACKBONE.PRETRAINED MODEL.HEAD.NAME
OPTIM.NAME OPTIM.LR OPTIM.WEIGHT_DECAY OPTIM.MOMENTUM OPTIM.SGD_DAMPNING OPTIM.SGD_NESTEROV OPTIM.STAGED_LR
OPTIM.LR_SCHEDULER OPTIM.MAX_EPOCH OPTIM.WARMUP_EPOCH
TRAIN.CHECKPOINT_FREQ TRAIN.PRINT_FREQ
TEST.EVALUATOR TEST.PER_CLASS_RESULT TEST.COMPUTE_CMAT TEST.NO_TEST TEST.SPLIT TEST.FINAL_MODEL
TRAINER.NAME
""".split()

# Read on a machine with a GPU alone.
WITH_A_GPU = ["USE_CUDA"]


def keys_of(node: CfgNode, prefix: str = "") -> list[str]:
    """Return the dotted names of all keys; sections come before their keys."""
    names = []
    for key, value in node.items():
        names.append(prefix + key)
        if isinstance(value, CfgNode):
            names += keys_of(value, f"{prefix}{key}.")
    return names


ALL = keys_of(get_cfg_default())
USED = {name for key in [*NEEDED, *WITH_A_GPU] for name in [key, *(key[:i] for i, c in enumerate(key) if c == ".")]}


def delete(cfg: CfgNode, name: str) -> None:
    section, _, key = name.rpartition(".")
    for part in section.split(".") if section else ():
        cfg = cfg[part]
    del cfg[key]


@pytest.fixture
def plain(cfg):
    """One epoch of the conftest's trainer without augmentation and without a warm-up."""
    cfg.INPUT.TRANSFORMS = ()
    cfg.OPTIM.MAX_EPOCH = 1
    cfg.OPTIM.WARMUP_EPOCH = -1
    return cfg


@pytest.mark.parametrize("name", [name for name in ALL if name not in USED])
def test_a_plain_run_does_not_read(plain, name):
    delete(plain, name)
    trainer = build_trainer(plain)
    trainer.train()
    assert len(trainer.seen) == 3 and trainer.train_loader_u is None


def test_a_plain_run_without_any_unneeded_key(plain):
    unneeded = [name for name in ALL if name not in USED]
    for name in sorted(unneeded, key=lambda name: -name.count(".")):  # keys before their sections
        delete(plain, name)
    trainer = build_trainer(plain)
    trainer.train()
    assert len(trainer.seen) == 3


@pytest.mark.parametrize("name", NEEDED)
def test_a_plain_run_reads(plain, name):
    """The list above holds nothing that a run can do without."""
    delete(plain, name)
    with pytest.raises(AttributeError, match=name.rpartition(".")[2]):
        build_trainer(plain).train()


CHOICE_KEYS = {
    "random_resized_crop": ["RRCROP_SCALE"],
    "random_crop": ["CROP_PADDING"],
    "normalize": ["PIXEL_MEAN", "PIXEL_STD"],
    "cutout": ["CUTOUT_N", "CUTOUT_LEN"],
    "randaugment": ["RANDAUGMENT_N", "RANDAUGMENT_M"],
    "randaugment_fixmatch": ["RANDAUGMENT_N"],
    "randaugment2": ["RANDAUGMENT_N"],
    "gaussian_noise": ["GN_MEAN", "GN_STD"],
    "colorjitter": ["COLORJITTER_B", "COLORJITTER_C", "COLORJITTER_S", "COLORJITTER_H"],
    "randomgrayscale": ["RGS_P"],
    "gaussian_blur": ["GB_K", "GB_P"],
}


@pytest.mark.parametrize("choice", AVAI_CHOICES)
def test_a_transform_reads_its_own_settings_only(choice, capsys):
    cfg = get_cfg_default()
    cfg.INPUT.TRANSFORMS = (choice,)
    build_transform(cfg), build_transform(cfg, is_train=False)
    expected = capsys.readouterr().out
    own = CHOICE_KEYS.get(choice, [])
    for key in list(cfg.INPUT):
        if key not in ("SIZE", "INTERPOLATION", "TRANSFORMS", "NO_TRANSFORM", *own):
            del cfg.INPUT[key]
    build_transform(cfg), build_transform(cfg, is_train=False)
    assert capsys.readouterr().out == expected
    for key in own:
        if key == "RRCROP_SCALE":  # has a default, see test_transforms.py
            continue
        lacking = cfg.clone()
        del lacking.INPUT[key]
        with pytest.raises(AttributeError, match=key):
            build_transform(lacking)


def test_custom_transforms_need_no_input_section(plain, image_folder):
    del plain["INPUT"]
    manager = DataManager(plain, custom_tfm_train=lambda image: 1, custom_tfm_test=lambda image: 2)
    assert next(iter(manager.train_loader_x))["img"].tolist() == [1] * 4
    assert next(iter(manager.test_loader))["img"].tolist()[:2] == [2, 2]


@pytest.mark.parametrize(
    "sampler, key", [("RandomSampler", None), ("RandomDomainSampler", "N_DOMAIN"), ("RandomClassSampler", "N_INS")]
)
def test_a_sampler_reads_its_own_setting_only(plain, sampler, key):
    section = plain.DATALOADER.TRAIN_X
    section.SAMPLER, section.N_DOMAIN, section.N_INS = sampler, 2, 2
    if key != "N_DOMAIN":
        del section["N_DOMAIN"]
    if key != "N_INS":
        del section["N_INS"]
    batch = next(iter(DataManager(plain).train_loader_x))
    if key == "N_DOMAIN":
        assert sorted(batch["domain"].tolist()) == [0, 0, 1, 1]
    if key == "N_INS":
        labels = batch["label"].tolist()
        assert labels[0] == labels[1] != labels[2] == labels[3]
    if key is not None:
        del section[key]
        with pytest.raises(AttributeError, match=key):
            DataManager(plain)


@pytest.mark.parametrize("same_as_x", [True, False])
def test_unlabelled_data_reads_its_section(plain, same_as_x):
    plain.TRAINER.NAME = "PairTrainer"
    plain.DATALOADER.TRAIN_U.SAME_AS_X = same_as_x
    for key in ("N_DOMAIN", "N_INS", *(("SAMPLER", "BATCH_SIZE") if same_as_x else ())):
        del plain.DATALOADER.TRAIN_U[key]
    plain.DATALOADER.TRAIN_X.BATCH_SIZE = 4
    loader = DataManager(plain).train_loader_u
    assert loader is not None and loader.batch_size == (4 if same_as_x else 32)
    del plain.DATALOADER["TRAIN_U"]
    with pytest.raises(AttributeError, match="TRAIN_U"):
        DataManager(plain)


OPTIMIZER_KEYS = {
    "sgd": {"MOMENTUM", "SGD_DAMPNING", "SGD_NESTEROV"},
    "rmsprop": {"MOMENTUM", "RMSPROP_ALPHA"},
    **{name: {"ADAM_BETA1", "ADAM_BETA2"} for name in ("adam", "amsgrad", "radam", "adamw")},
}


@pytest.mark.parametrize("name", OPTIMIZER_KEYS)
def test_an_optimizer_reads_its_own_settings_only(name):
    cfg = get_cfg_default().OPTIM
    cfg.NAME = name
    for key in set.union(*OPTIMIZER_KEYS.values()) - OPTIMIZER_KEYS[name]:
        del cfg[key]
    assert build_optimizer(nn.Linear(1, 1), cfg).param_groups[0]["lr"] == cfg.LR
    for key in OPTIMIZER_KEYS[name]:
        lacking = cfg.clone()
        del lacking[key]
        with pytest.raises(AttributeError, match=key):
            build_optimizer(nn.Linear(1, 1), lacking)
