"""Settings in a Dassl config: those that all methods read, and those that each method declares."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from common import catalogue
from common.knobs import DASSL, Knob, check
from trainers.engine.settings import set_value, value_of

PRECISION = Knob(
    "PREC",
    "fp16",
    "precision of the frozen towers; on a CPU, fp16 means fp32",
    among=("fp16", "bf16", "fp32"),
    training=True,
)

COMMON = (
    Knob("DATASET.DECLARATION", "", "filled in: the content of a collection's YAML file"),
    Knob("MODEL.BACKBONE.DIGEST", "", "filled in: a hash of the checkpoint file"),
    Knob("DATASET.NUM_SHOTS", DASSL, "training images per class", never=(0,), must="at least 1, or -1 for all images"),
    Knob("DATASET.SUBSAMPLE_CLASSES", "all", "classes of a task: all, base (first half, rounded up) or new (the rest)"),
    Knob("DATASET.SUBSAMPLE_TASKS", "all", "tasks: all, base, new, or task<i>+task<j>.., counted from 0"),
    Knob("DATASET.ALLOW_FEWER_SHOTS", False, "let a class with fewer images than shots use all it has; else an error"),
    Knob("DATASET.DRAWS", "", "few-shot images: drawn here if empty, else published, or a folder of published draws"),
    # The released SoftCPT code registers one schedule under several model names, so it steps it several times per
    # epoch: 3 for class-agnostic variants, 4 for class-specific ones.
    Knob("OPTIM.STEPS_PER_EPOCH", 1, "steps of the learning-rate schedule per epoch; 3 or 4 in the released code"),
    Knob("OPTIM.MAX_EPOCH", DASSL, "epochs", least=1),
    Knob("MODEL.COMPILE", False, "torch.compile the text encoder: takes a minute; worth it on a GPU only, if at all"),
    Knob("DATALOADER.TRAIN_X.BATCH_SIZE", DASSL, "images in a training batch", least=1),
    Knob("DATALOADER.TEST.BATCH_SIZE", DASSL, "images in a test batch", least=1),
    Knob("BANK.TEST", True, "store the features of test images: computed once, shared by all runs"),
    Knob("BANK.TRAIN", True, "store those of the training views too: computed ahead, shared by all methods"),
    Knob("BANK.DIR", "", "folder of the stored features; empty: output/.bank in the repository"),
    Knob("BANK.LIMIT_GB", 20.0, "above this size, the least recently used features are removed"),
    Knob("WANDB.PROJECT", "", "a Weights & Biases project to log the TensorBoard values to; empty: none"),
    Knob("SEED", DASSL, "of all random draws; a negative seed makes every run differ", below=1 << 32),
    Knob("TEST.SPLIT", DASSL, "the images to test on", among=("val", "test")),
)


def knobs_of(trainer: type) -> tuple[Knob, ...]:
    """Return the knobs that a trainer declares, and PREC; empty for a trainer without KNOBS."""
    declared = getattr(trainer, "KNOBS", None)
    return () if declared is None else (*declared, PRECISION)


def extend_cfg(cfg: CfgNode) -> None:
    """Add the common settings, and those of every registered method, to a Dassl config."""
    for knob in COMMON:
        if knob.default is not DASSL:
            set_value(cfg, knob.name, knob.default)
    for name in TRAINER_REGISTRY.registered_names():
        trainer = TRAINER_REGISTRY.get(name)
        for knob in knobs_of(trainer):
            set_value(cfg, f"TRAINER.{trainer.section}.{knob.name}", knob.default)


def check_settings(cfg: CfgNode, trainer: type) -> None:
    """Raise InputError for a setting whose value is out of range; types are checked when a config is merged."""
    check(COMMON, {knob.name: value_of(cfg, knob.name) for knob in COMMON})
    knobs = knobs_of(trainer)
    if knobs:
        section = trainer.section  # type: ignore[attr-defined]  # every trainer with KNOBS has one
        check(knobs, cfg.TRAINER[section], f"TRAINER.{section}.")


def method_of(trainer: str, cfg: CfgNode) -> catalogue.Method:
    """Return a trainer's entry in the catalogue under the given settings.

    A trainer that the catalogue does not list gets an entry whose parameters belong to classes.
    """
    return catalogue.find(trainer, lambda key: value_of(cfg, key)) or catalogue.Method(
        trainer, trainer, trainer, command="", about="", tied_to="classes", ties="parameters for every class"
    )
