"""All configuration keys and their defaults: the names and values of upstream Dassl 0.6.3.

A plugin's YAML file may set any of them, so the sections of trainers that this distribution does not include are here.
"""

from __future__ import annotations

from yacs.config import CfgNode as CN

_INPUT = {
    "SIZE": (224, 224),  # height, width
    "INTERPOLATION": "bilinear",  # a key of dassl.data.transforms.INTERPOLATION_MODES
    "TRANSFORMS": (),  # names from dassl.data.transforms.transforms.AVAI_CHOICES
    "NO_TRANSFORM": False,  # return PIL images unchanged
    "PIXEL_MEAN": [0.485, 0.456, 0.406],  # ImageNet's, used by "normalize"
    "PIXEL_STD": [0.229, 0.224, 0.225],
    "CROP_PADDING": 4,  # pixels, for "random_crop"
    "RRCROP_SCALE": (0.08, 1.0),  # fraction of the area, for "random_resized_crop"
    "CUTOUT_N": 1,
    "CUTOUT_LEN": 16,  # side of a hole in pixels
    "GN_MEAN": 0.0,  # "gaussian_noise"
    "GN_STD": 0.15,
    "RANDAUGMENT_N": 2,  # operations per image
    "RANDAUGMENT_M": 10,  # their strength, 0 .. 30
    "COLORJITTER_B": 0.4,
    "COLORJITTER_C": 0.4,
    "COLORJITTER_S": 0.4,
    "COLORJITTER_H": 0.1,
    "RGS_P": 0.2,  # probability of "randomgrayscale"
    "GB_P": 0.5,  # probability of "gaussian_blur"
    "GB_K": 21,  # its kernel size, odd
}

_DATASET = {
    "ROOT": "",
    "NAME": "",
    "SOURCE_DOMAINS": (),
    "TARGET_DOMAINS": (),
    "NUM_LABELED": -1,  # labelled images in total (semi-supervised); negative: no limit
    "NUM_SHOTS": -1,  # images per class; below 1: all
    "VAL_PERCENT": 0.1,
    "STL10_FOLD": -1,
    "CIFAR_C_TYPE": "",
    "CIFAR_C_LEVEL": 1,
    "ALL_AS_UNLABELED": False,
}


def _training_loader() -> dict:
    return {
        "SAMPLER": "RandomSampler",
        "BATCH_SIZE": 32,
        "N_DOMAIN": 0,  # RandomDomainSampler: domains per batch; 0 or less: all
        "N_INS": 16,  # RandomClassSampler: images per class in a batch
    }


_DATALOADER = {
    "NUM_WORKERS": 4,
    "K_TRANSFORMS": 1,  # augmented views of a training image
    "RETURN_IMG0": False,  # also return the unaugmented image, as "img0"
    "TRAIN_X": _training_loader(),
    "TRAIN_U": {"SAME_AS_X": True, **_training_loader()},  # SAME_AS_X: the other four are ignored
    "TEST": {"SAMPLER": "SequentialSampler", "BATCH_SIZE": 32},
}

_MODEL = {
    "INIT_WEIGHTS": "",  # checkpoint to start from
    "BACKBONE": {"NAME": "", "PRETRAINED": True},
    "HEAD": {  # no head is built if NAME or HIDDEN_LAYERS is empty
        "NAME": "",
        "HIDDEN_LAYERS": (),
        "ACTIVATION": "relu",
        "BN": True,
        "DROPOUT": 0.0,
    },
}

_OPTIM = {
    "NAME": "adam",  # adam, amsgrad, sgd, rmsprop, radam, adamw
    "LR": 0.0003,
    "WEIGHT_DECAY": 5e-4,
    "MOMENTUM": 0.9,  # sgd, rmsprop
    "SGD_DAMPNING": 0,
    "SGD_NESTEROV": False,
    "RMSPROP_ALPHA": 0.99,
    "ADAM_BETA1": 0.9,  # the adam family
    "ADAM_BETA2": 0.999,
    "STAGED_LR": False,  # train NEW_LAYERS with LR, all other layers with LR * BASE_LR_MULT
    "NEW_LAYERS": (),
    "BASE_LR_MULT": 0.1,
    "LR_SCHEDULER": "single_step",  # single_step, multi_step, cosine
    "STEPSIZE": (-1,),  # epochs; 0 or less: MAX_EPOCH
    "GAMMA": 0.1,
    "MAX_EPOCH": 10,
    "WARMUP_EPOCH": -1,  # epochs; 0 or less: no warm-up
    "WARMUP_TYPE": "linear",  # linear, constant
    "WARMUP_CONS_LR": 1e-5,  # constant
    "WARMUP_MIN_LR": 1e-5,  # linear: the learning rate of the first epoch
    "WARMUP_RECOUNT": True,  # the main schedule starts at 0 after the warm-up, otherwise at WARMUP_EPOCH
}

_TRAIN = {
    "CHECKPOINT_FREQ": 0,  # epochs between checkpoints; 0 or less: the last epoch only
    "PRINT_FREQ": 10,  # batches between log lines
    "COUNT_ITER": "train_x",  # the loader that sets the length of an epoch: train_x, train_u, smaller_one
}

_TEST = {
    "EVALUATOR": "Classification",
    "PER_CLASS_RESULT": False,
    "COMPUTE_CMAT": False,  # confusion matrix to OUTPUT_DIR/cmat.pt
    "NO_TEST": False,
    "SPLIT": "test",  # split of the final evaluation: test, val
    "FINAL_MODEL": "last_step",  # last_step, best_val (which evaluates after every epoch)
}

# Domain adaptation, domain generalisation, semi-supervised learning.
_TRAINER = {
    "NAME": "",
    "MCD": {"N_STEP_F": 4},
    "MME": {"LMDA": 0.1},
    "CDAC": {
        "CLASS_LR_MULTI": 10,
        "RAMPUP_COEF": 30,
        "RAMPUP_ITRS": 1000,
        "TOPK_MATCH": 5,
        "P_THRESH": 0.95,
        "STRONG_TRANSFORMS": (),
    },
    "SE": {"EMA_ALPHA": 0.999, "CONF_THRE": 0.95, "RAMPUP": 300},
    "M3SDA": {"LMDA": 0.5, "N_STEP_F": 4},
    "DAEL": {"WEIGHT_U": 0.5, "CONF_THRE": 0.95, "STRONG_TRANSFORMS": ()},
    "CROSSGRAD": {"EPS_F": 1.0, "EPS_D": 1.0, "ALPHA_F": 0.5, "ALPHA_D": 0.5},
    "DDAIG": {
        "G_ARCH": "",
        "LMDA": 0.3,
        "CLAMP": False,
        "CLAMP_MIN": -1.0,
        "CLAMP_MAX": 1.0,
        "WARMUP": 0,
        "ALPHA": 0.5,
    },
    "DAELDG": {"WEIGHT_U": 0.5, "CONF_THRE": 0.95, "STRONG_TRANSFORMS": ()},
    "DOMAINMIX": {"TYPE": "crossdomain", "ALPHA": 1.0, "BETA": 1.0},
    "ENTMIN": {"LMDA": 1e-3},
    "MEANTEACHER": {"WEIGHT_U": 1.0, "EMA_ALPHA": 0.999, "RAMPUP": 5},
    "MIXMATCH": {"WEIGHT_U": 100.0, "TEMP": 2.0, "MIXUP_BETA": 0.75, "RAMPUP": 20000},
    "FIXMATCH": {"WEIGHT_U": 1.0, "CONF_THRE": 0.95, "STRONG_TRANSFORMS": ()},
}

_C = CN(
    {
        "VERSION": 1,
        "OUTPUT_DIR": "./output",
        "RESUME": "",  # folder of an earlier run to resume
        "SEED": -1,  # negative: not set
        "USE_CUDA": True,
        "VERBOSE": True,  # print the names of trainer, dataset, backbone and evaluator
        "INPUT": _INPUT,
        "DATASET": _DATASET,
        "DATALOADER": _DATALOADER,
        "MODEL": _MODEL,
        "OPTIM": _OPTIM,
        "TRAIN": _TRAIN,
        "TEST": _TEST,
        "TRAINER": _TRAINER,
    }
)
