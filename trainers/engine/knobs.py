"""Settings in a Dassl config: those that all methods read, and those that each method declares."""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

from common import catalogue
from common.errors import InputError
from common.knobs import DASSL, RESIDUAL_C, Knob, check
from trainers.engine.settings import known_keys, set_value, value_of

PRECISION = Knob(
    "PREC",
    "fp16",
    "precision of the frozen towers; on a CPU, fp16 means fp32, and auto also encodes frozen images in bf16 if the CPU "
    "is much faster in it",
    among=("fp16", "bf16", "fp32", "auto"),
    training=True,
)

EPOCHS = 100_000  # more than anybody waits for

COMMON = (
    Knob("DATASET.DECLARATION", "", "filled in: the content of a collection's YAML file"),
    Knob("MODEL.FROM", "", "a run's folder or a classifier: training starts from what it learned, by names"),
    Knob("MODEL.FROM_DIGEST", "", "filled in: a hash of what it learned"),
    Knob("MODEL.BACKBONE.DIGEST", "", "filled in: a hash of the checkpoint file"),
    Knob("MODEL.BACKBONE.IMAGES", "", "filled in: the precision of images that PREC auto chose"),
    Knob(
        "DATASET.NUM_SHOTS",
        DASSL,
        "training images per class",
        least=-1,
        never=(0,),
        must="at least 1, or -1 for all images",
    ),
    Knob("DATASET.SUBSAMPLE_CLASSES", "all", "classes of a task: all, base (first half, rounded up) or new (the rest)"),
    Knob("DATASET.SUBSAMPLE_TASKS", "all", "tasks: all, base, new, or task<i>+task<j>.., counted from 0"),
    Knob("DATASET.ALLOW_FEWER_SHOTS", False, "let a class with fewer images than shots use all it has; else an error"),
    Knob(
        "DATASET.FOLD",
        "",
        "cross-validation on the shots: with 2/5, every fifth image of a class, from the second on, is tested and not "
        "trained on; no other image is used",
    ),
    Knob(
        "DATASET.ALL_IMAGES",
        False,
        "train on every image, those for validation and testing too; NUM_SHOTS is ignored, and nothing is tested",
    ),
    Knob("DATASET.DRAWS", "", "few-shot images: drawn here if empty, else published, or a folder of published draws"),
    # The released SoftCPT code registers one optimiser and one schedule under several model names, and Dassl steps what
    # is registered under every name: 3 for class-agnostic variants, 4 for class-specific ones.
    Knob(
        "OPTIM.STEPS_PER_EPOCH",
        1,
        "steps of the learning-rate schedule per epoch; 3 or 4 in the released code",
        least=1,
        most=1000,
    ),
    Knob(
        "OPTIM.STEPS_PER_BATCH",
        1,
        "steps of the optimiser per batch, all with its one gradient; 3 or 4 in the released code",
        least=1,
        most=1000,
    ),
    Knob(
        "INPUT.GIVEN",
        "",
        "filled in: keys of INPUT that are set explicitly; the others follow the tower",
    ),
    Knob(
        "MODEL.TEXT_MEMORY_GB",
        0.0,
        "memory for encoding prompts; if a step needs more, they are encoded in parts; 0: half of what is free",
        least=0,
        most=1e6,
    ),
    Knob("RESIDUAL.FIT", False, "add a residual of the images to the class features; it is fitted after training"),
    RESIDUAL_C,
    Knob("TRAIN.DETERMINISTIC", False, "bit-identical results on a GPU, at some cost; a CPU's always are"),
    Knob("OPTIM.MAX_EPOCH", DASSL, "epochs", least=1, most=EPOCHS),
    Knob("MODEL.COMPILE", False, "torch.compile the text encoder: takes a minute; worth it on a GPU only, if at all"),
    Knob("DATALOADER.TRAIN_X.BATCH_SIZE", DASSL, "images in a training batch", least=1),
    Knob("DATALOADER.TEST.BATCH_SIZE", DASSL, "images in a test batch", least=1),
    Knob("BANK.TEST", True, "store the features of test images: computed once, shared by all runs"),
    Knob("BANK.TRAIN", True, "store those of the training views too: computed ahead, shared by all methods"),
    Knob("BANK.DIR", "", "folder of the stored features; empty: output/.bank in the repository"),
    Knob("BANK.LIMIT_GB", 20.0, "above this size, the least recently used features are removed", least=0, most=1e6),
    Knob("WANDB.PROJECT", "", "a Weights & Biases project to log the TensorBoard values to; empty: none"),
    Knob("SEED", DASSL, "of all random draws; a negative seed makes every run differ", least=-(1 << 31), below=1 << 32),
    Knob("TEST.SPLIT", DASSL, "the images to test on", among=("val", "test")),
)

# Keys of Dassl that a run reads, besides those above: Dassl's own code leaves the ranges to whoever sets them.
OF_DASSL = (
    Knob("INPUT.SIZE", DASSL, "height and width of an image in pixels", count=2, least=1, most=8192, whole=True),
    Knob("INPUT.INTERPOLATION", DASSL, "how images are resized", among=("bilinear", "bicubic", "nearest")),
    Knob("INPUT.NO_TRANSFORM", DASSL, "towers take tensors", among=(False,), must="False: towers take tensors"),
    Knob("INPUT.PIXEL_MEAN", DASSL, "of each channel", count=3, least=-1000, most=1000),
    Knob("INPUT.PIXEL_STD", DASSL, "of each channel", count=3, above=0, most=1000),
    Knob("INPUT.CROP_PADDING", DASSL, "pixels, for random_crop", least=0, most=8192),
    Knob("INPUT.RRCROP_SCALE", DASSL, "share of the area", count=2, above=0, most=1, ascending=True),
    Knob("INPUT.CUTOUT_N", DASSL, "holes", least=0, most=1000),
    Knob("INPUT.CUTOUT_LEN", DASSL, "side of a hole in pixels", least=1, most=8192),
    Knob("INPUT.GN_MEAN", DASSL, "of gaussian_noise", least=-1000, most=1000),
    Knob("INPUT.GN_STD", DASSL, "of gaussian_noise", least=0, most=1000),
    Knob("INPUT.RANDAUGMENT_N", DASSL, "operations per image", least=0, most=100),
    Knob("INPUT.RANDAUGMENT_M", DASSL, "their strength", least=0, most=30),
    Knob("INPUT.COLORJITTER_B", DASSL, "brightness", least=0, most=100),
    Knob("INPUT.COLORJITTER_C", DASSL, "contrast", least=0, most=100),
    Knob("INPUT.COLORJITTER_S", DASSL, "saturation", least=0, most=100),
    Knob("INPUT.COLORJITTER_H", DASSL, "hue", least=0, most=0.5),
    Knob("INPUT.RGS_P", DASSL, "probability of randomgrayscale", least=0, most=1),
    Knob("INPUT.GB_P", DASSL, "probability of gaussian_blur", least=0, most=1),
    Knob("INPUT.GB_K", DASSL, "its kernel", among=tuple(range(1, 1000, 2)), must="an odd number from 1 to 999"),
    Knob("DATALOADER.NUM_WORKERS", DASSL, "processes that read images", least=0),
    Knob("DATALOADER.TRAIN_X.N_DOMAIN", DASSL, "tasks in a batch; 0: all", least=0),
    Knob("DATALOADER.TRAIN_X.N_INS", DASSL, "images per class in a batch", least=1),
    # Features, labels and the images that results.json names are matched by their order.
    Knob("DATALOADER.TEST.SAMPLER", DASSL, "order of test images", among=("SequentialSampler",)),
    Knob("OPTIM.NAME", DASSL, "optimizer", among=("adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw")),
    Knob("OPTIM.LR", DASSL, "learning rate", least=0, most=1e6),
    Knob("OPTIM.WEIGHT_DECAY", DASSL, "weight decay", least=0, most=1e6),
    Knob("OPTIM.MOMENTUM", DASSL, "of sgd and rmsprop", least=0, below=1),
    Knob("OPTIM.SGD_DAMPNING", DASSL, "of sgd's momentum", least=0, most=1),
    Knob("OPTIM.RMSPROP_ALPHA", DASSL, "of rmsprop", least=0, below=1),
    Knob("OPTIM.ADAM_BETA1", DASSL, "of the adam family", least=0, below=1),
    Knob("OPTIM.ADAM_BETA2", DASSL, "of the adam family", least=0, below=1),
    Knob(
        "OPTIM.STAGED_LR",
        DASSL,
        "learning rates by layer",
        among=(False,),
        must="False: what is learned has no layers that are new",
    ),
    Knob("OPTIM.LR_SCHEDULER", DASSL, "schedule", among=("single_step", "multi_step", "cosine")),
    Knob("OPTIM.STEPSIZE", DASSL, "epochs, at least 1, or -1 for MAX_EPOCH", least=-1, most=EPOCHS, whole=True),
    Knob("OPTIM.GAMMA", DASSL, "factor of a step of the schedule", above=0, most=1000),
    Knob("OPTIM.WARMUP_EPOCH", DASSL, "epochs; 0 or -1: no warm-up", least=-1, most=EPOCHS),
    Knob("OPTIM.WARMUP_TYPE", DASSL, "learning rates of the warm-up", among=("linear", "constant")),
    Knob("OPTIM.WARMUP_CONS_LR", DASSL, "of a constant warm-up", least=0, most=1e6),
    Knob("OPTIM.WARMUP_MIN_LR", DASSL, "where a linear warm-up starts", least=0, most=1e6),
    Knob("TRAIN.CHECKPOINT_FREQ", DASSL, "epochs between checkpoints; 0 or -1: the last alone", least=-1),
    Knob("TRAIN.PRINT_FREQ", DASSL, "batches between lines of the log", least=1),
    Knob("TEST.EVALUATOR", DASSL, "tasks are evaluated by their own metrics", among=("Classification",)),
    Knob("TEST.FINAL_MODEL", DASSL, "the epoch that is tested", among=("last_step", "best_val")),
)


# Keys whose ranges are those of our trainers; Dassl itself takes more.
OUR_TRAINERS = {"OPTIM.STAGED_LR", "TEST.EVALUATOR", "INPUT.NO_TRANSFORM", "DATALOADER.TEST.SAMPLER"}


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
    knobs = knobs_of(trainer)
    section = trainer.section if knobs else ""  # type: ignore[attr-defined]  # every trainer with KNOBS has one
    own = {f"TRAINER.{section}.{knob.name}" for knob in knobs if knob.default is not None}
    for key in known_keys(cfg):
        read = key in own or key == "TRAINER.NAME" or not key.startswith("TRAINER.")
        if read and value_of(cfg, key) is None:  # which Dassl's config takes for a value of any type
            raise InputError(f"{key} is None; give it a value, or leave it out for its default.")
    known = set(known_keys(cfg))
    checked = [knob for knob in (*COMMON, *OF_DASSL) if knob.default is not DASSL or knob.name in known]
    if not knobs:  # another repository's trainer does these in Dassl's way
        checked = [knob for knob in checked if knob.name not in OUR_TRAINERS]
    check(checked, {knob.name: value_of(cfg, knob.name) for knob in checked})
    if knobs:
        check(knobs, cfg.TRAINER[section], f"TRAINER.{section}.")


def method_of(trainer: str, cfg: CfgNode) -> catalogue.Method:
    """Return a trainer's entry in the catalogue under the given settings.

    A trainer that the catalogue does not list gets an entry whose parameters belong to classes.
    """
    return catalogue.find(trainer, lambda key: value_of(cfg, key)) or catalogue.Method(
        trainer, trainer, trainer, command="", about="", tied_to="classes", ties="parameters for every class"
    )
