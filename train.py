"""Train and evaluate one run: one method, one collection, one number of shots, one seed. The flags are CoOp's.

    python train.py --root data --seed 1 --trainer SoftCPT --dataset-config-file configs/datasets/garden8.yaml \\
        --config-file configs/trainers/SoftCPT/garden_vit_ep50.yaml --output-dir output/mine DATASET.NUM_SHOTS 4

A finished run is reported, not repeated; an unfinished one is resumed. runs/run.py says what a run's folder holds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import catalogue, plugins
from common.errors import InputError
from common.threads import wait_passively
from launcher import arguments, frame


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """CoOp's command line."""
    parser = frame.parser("python train.py", __doc__, ())
    trainers = sorted({method.trainer for method in catalogue.METHODS.values()})
    parser.add_argument("--root", default="", help="folder that holds the data sets")
    parser.add_argument("--output-dir", default="", help="the run's folder")
    parser.add_argument("--resume", default="", help="folder of another run to resume (its own needs no flag)")
    parser.add_argument("--seed", type=int, default=-1, help="a negative seed draws everything anew")
    parser.add_argument("--source-domains", nargs="+", help="Dassl: source domains")
    parser.add_argument("--target-domains", nargs="+", help="Dassl: target domains")
    parser.add_argument("--transforms", nargs="+", help="Dassl: data augmentation")
    parser.add_argument("--config-file", default="", help="the method's config")
    parser.add_argument("--dataset-config-file", default="", help="config of a data set, or a collection's declaration")
    parser.add_argument("--trainer", default="", help=f"one of {', '.join(trainers)}")
    parser.add_argument("--backbone", default="", help="CLIP's name or path")
    parser.add_argument("--head", default="", help="Dassl: head")
    parser.add_argument("--eval-only", action="store_true", help="evaluate --model-dir's checkpoint, do not train")
    parser.add_argument("--model-dir", default="", help="run folder to load for --eval-only")
    parser.add_argument("--load-epoch", help="its epoch; default: the one that the run ended with")
    parser.add_argument("--no-train", action="store_true", help="build everything, train nothing")
    parser.add_argument("--plugin", action="append", default=[], help="a Python file with a method; may be repeated")
    parser.add_argument("opts", default=None, nargs=argparse.REMAINDER, help="config overrides: KEY VALUE ...")
    return parser.parse_args(argv)


def overrides_of(args: argparse.Namespace) -> list[tuple[str, Any]]:
    """The settings that the flags and the KEY VALUE pairs ask for."""
    flags = {
        "DATASET.ROOT": args.root and Path(args.root),
        "OUTPUT_DIR": args.output_dir and Path(args.output_dir),
        "RESUME": args.resume and Path(args.resume),
        "DATASET.SOURCE_DOMAINS": tuple(args.source_domains or ()),
        "DATASET.TARGET_DOMAINS": tuple(args.target_domains or ()),
        "INPUT.TRANSFORMS": tuple(args.transforms or ()),
        "MODEL.BACKBONE.NAME": args.backbone,
        "MODEL.HEAD.NAME": args.head,
    }
    pairs = [word for word in args.opts if word != "--"]
    if len(pairs) % 2:
        raise InputError(f"Config overrides come in pairs KEY VALUE; '{pairs[-1]}' stands alone.")
    given = [(key, value) for key, value in flags.items() if value]
    return [*given, ("SEED", args.seed), *zip(pairs[::2], pairs[1::2], strict=True)]


def answer(argv: list[str]) -> int:
    args = parse_args(argv)
    epoch = arguments.whole_number(args.load_epoch, "--load-epoch", 1, "50")
    try:
        from runs.config import load_config  # PyTorch with it: seconds, after mistakes in the flags
        from runs.run import Request, run

        plugins.load(plugins.named(args.plugin))
    except ModuleNotFoundError as error:
        raise frame.not_installed(error, "scripts/softcpt/main.sh") from error
    cfg = load_config(args.dataset_config_file, args.trainer, overrides_of(args), args.config_file)
    names = (Path(args.dataset_config_file).stem, Path(args.config_file).stem)
    run(cfg, Request(*names, tuple(argv), args.eval_only, args.model_dir, epoch, not args.no_train))
    return 0


if __name__ == "__main__":
    wait_passively()
    sys.exit(frame.run(answer))
