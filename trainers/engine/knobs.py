"""Settings in a Dassl config: those that all methods read, and each method's own, from their declarations."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from common import catalogue
from common.knobs import DASSL, Knob, check
from trainers.engine.settings import set_value, value_of

PRECISION = Knob(
    "PREC",
    "fp16",
    "precision of the frozen towers; a CPU takes fp32 for fp16",
    among=("fp16", "bf16", "fp32"),
    training=True,
)

COMMON = (
    Knob("DATASET.DECLARATION", "", "filled in: what a collection's YAML file says"),
    Knob("MODEL.BACKBONE.DIGEST", "", "filled in: a hash of the checkpoint file"),
    Knob("DATASET.NUM_SHOTS", DASSL, "training images a class", never=(0,), must="at least 1, or -1 for all images"),
    Knob("DATASET.SUBSAMPLE_CLASSES", "all", "of every task: all, base (the first half, rounded up) or new (the rest)"),
    Knob("DATASET.SUBSAMPLE_TASKS", "all", "all, base, new, or task<i>+task<j>.., counted from 0"),
    Knob("DATASET.ALLOW_FEWER_SHOTS", False, "a class with fewer images than shots gives all it has; else an error"),
    # The released SoftCPT code registers one schedule under several model names and so steps it several times an
    # epoch: 3 for class-agnostic variants, 4 for class-specific ones.
    Knob("OPTIM.STEPS_PER_EPOCH", 1, "steps of the learning-rate schedule an epoch; the released code takes 3 or 4"),
    Knob("OPTIM.MAX_EPOCH", DASSL, "epochs", least=1),
    Knob("MODEL.COMPILE", False, "torch.compile for the text encoder: takes a minute, pays on a GPU at best"),
    Knob("DATALOADER.TRAIN_X.BATCH_SIZE", DASSL, "images in a training batch", least=1),
    Knob("DATALOADER.TEST.BATCH_SIZE", DASSL, "images in a test batch", least=1),
    Knob("BANK.TEST", True, "image features of test images: computed once, shared by all runs"),
    Knob("BANK.TRAIN", True, "of each epoch's augmented views: computed ahead in large batches, shared by all methods"),
    Knob("BANK.DIR", "", "where features are kept; empty: output/.bank in the repository"),
    Knob("BANK.LIMIT_GB", 20.0, "above this size the least recently used features are removed"),
    Knob("WANDB.PROJECT", "", "a project of Weights & Biases that gets the values of TensorBoard; empty: none"),
    Knob("SEED", DASSL, "of all random draws; a negative one draws everything anew", below=1 << 32),
    Knob("TEST.SPLIT", DASSL, "the images that are tested", among=("val", "test")),
)


def knobs_of(trainer: type) -> tuple[Knob, ...]:
    """A trainer's own knobs, precision included; none for a trainer that declares none."""
    declared = getattr(trainer, "KNOBS", None)
    return () if declared is None else (*declared, PRECISION)


def extend_cfg(cfg: CfgNode) -> None:
    """Add the settings above, and those of every registered method, to a Dassl config."""
    for knob in COMMON:
        if knob.default is not DASSL:
            set_value(cfg, knob.name, knob.default)
    for name in TRAINER_REGISTRY.registered_names():
        trainer = TRAINER_REGISTRY.get(name)
        for knob in knobs_of(trainer):
            set_value(cfg, f"TRAINER.{trainer.section}.{knob.name}", knob.default)


def check_settings(cfg: CfgNode, trainer: type) -> None:
    """InputError for a setting whose type is right and whose value is out of range."""
    check(COMMON, {knob.name: value_of(cfg, knob.name) for knob in COMMON})
    knobs = knobs_of(trainer)
    if knobs:
        section = trainer.section  # type: ignore[attr-defined]  # every trainer with KNOBS has one
        check(knobs, cfg.TRAINER[section], f"TRAINER.{section}.")


def method_of(trainer: str, cfg: CfgNode) -> catalogue.Method:
    """A trainer's entry in the catalogue under some settings.

    For a trainer that the catalogue does not list, an entry that allows no other tasks or classes.
    """
    return catalogue.find(trainer, lambda key: value_of(cfg, key)) or catalogue.Method(
        trainer, trainer, trainer, command="", about="", tied_to="classes", ties="parameters for every class"
    )
