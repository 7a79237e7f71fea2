"""Train and evaluate one run: one method, one collection, one number of shots, one seed. The flags are CoOp's.

    python train.py --root data --seed 1 --trainer SoftCPT --dataset-config-file configs/datasets/garden8.yaml \\
        --config-file configs/trainers/SoftCPT/garden_vit_ep50.yaml --output-dir output/mine DATASET.NUM_SHOTS 4

A run is a folder: config.yaml, log.txt, prompt_learner/ (checkpoints), tasks.json (what they are learned on),
tensorboard/ and, written last, results.json, whose ``"finished": true`` is what makes a run finished. A finished run is
reported, not repeated; an unfinished one is resumed. With --eval-only it is evaluation.json, naming the checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, build_dataset
from dassl.engine import TRAINER_REGISTRY, build_trainer
from dassl.utils import collect_env_info, count_num_param, set_random_seed
from yacs.config import CfgNode

import datasets  # noqa: F401  registers the data sets
import trainers
from common.errors import InputError, unknown
from common.files import write_atomically
from datasets.collection import layout_of
from datasets.declared import register_collection
from datasets.images import data_root
from prompting.towers import checkpoint_file
from runs.folder import Tee, check_same_settings, git_commit, opened, versions
from runs.progress import Progress
from runs.results import read_results
from runs.wandb_log import wandb_log
from trainers.engine.base import search_folders
from trainers.engine.resuming import checkpoint_of
from trainers.engine.settings import known_keys, value_of

MISMATCH = re.compile(r"\(<class '(\w+)'> vs\. .*?\) with values \((.*) vs\. (.*)\) for config key: (\S+)")
KINDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "text", "tuple": "a list"}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """CoOp's command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="", help="folder that holds the data sets")
    parser.add_argument("--output-dir", default="", help="the run's folder")
    parser.add_argument(
        "--resume", default="", help="folder whose checkpoint the run goes on from (its own needs no flag)"
    )
    parser.add_argument("--seed", type=int, default=-1, help="a negative seed draws everything anew")
    parser.add_argument("--source-domains", nargs="+", help="Dassl: source domains")
    parser.add_argument("--target-domains", nargs="+", help="Dassl: target domains")
    parser.add_argument("--transforms", nargs="+", help="Dassl: data augmentation")
    parser.add_argument("--config-file", default="", help="the method's config")
    parser.add_argument(
        "--dataset-config-file", default="", help="the data set's config, or a collection's declaration"
    )
    parser.add_argument(
        "--trainer", default="", help=f"one of {', '.join(sorted(TRAINER_REGISTRY.registered_names()))}"
    )
    parser.add_argument("--backbone", default="", help="CLIP's name or path")
    parser.add_argument("--head", default="", help="Dassl: head")
    parser.add_argument(
        "--eval-only", action="store_true", help="evaluate --model-dir's checkpoint instead of training"
    )
    parser.add_argument("--model-dir", default="", help="run folder to load for --eval-only")
    parser.add_argument("--load-epoch", type=int, help="its epoch; without it, the one the run ended with")
    parser.add_argument("--no-train", action="store_true", help="build everything, train nothing")
    parser.add_argument("opts", default=None, nargs=argparse.REMAINDER, help="config overrides: KEY VALUE ...")
    return parser.parse_args(argv)


def extend_cfg(cfg: CfgNode) -> None:
    """Add this project's config keys to Dassl's."""
    trainers.extend_cfg(cfg)


def setup_cfg(args: argparse.Namespace) -> CfgNode:
    """Dassl's defaults, then the data set's file, the method's file, the flags, and KEY VALUE pairs, each over the
    former."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    if args.dataset_config_file:
        path = Path(args.dataset_config_file)
        if "tasks" in _read_yaml(path):
            cfg.DATASET.NAME = register_collection(path)
            # In the config, so that a run tells what it was made of, and a changed collection is noticed.
            cfg.DATASET.DECLARATION = json.dumps(DATASET_REGISTRY.get(path.stem).declaration, sort_keys=True)
        else:
            _merge_file(cfg, path)
    if args.config_file:
        _merge_file(cfg, Path(args.config_file))
    cfg.DATASET.ROOT = args.root or cfg.DATASET.ROOT
    cfg.OUTPUT_DIR = args.output_dir or cfg.OUTPUT_DIR
    cfg.RESUME = args.resume or cfg.RESUME
    cfg.DATASET.SOURCE_DOMAINS = tuple(args.source_domains or cfg.DATASET.SOURCE_DOMAINS)
    cfg.DATASET.TARGET_DOMAINS = tuple(args.target_domains or cfg.DATASET.TARGET_DOMAINS)
    cfg.INPUT.TRANSFORMS = tuple(args.transforms or cfg.INPUT.TRANSFORMS)
    cfg.TRAINER.NAME = args.trainer or cfg.TRAINER.NAME
    cfg.MODEL.BACKBONE.NAME = args.backbone or cfg.MODEL.BACKBONE.NAME
    cfg.MODEL.HEAD.NAME = args.head or cfg.MODEL.HEAD.NAME
    cfg.SEED = args.seed
    opts = [opt for opt in args.opts if opt != "--"]
    if len(opts) % 2:
        raise InputError(f"Config overrides come in pairs KEY VALUE; '{opts[-1]}' stands alone.")
    for key, value in zip(opts[::2], opts[1::2], strict=True):
        _merge(cfg, "the command line", lambda key=key, value=value: cfg.merge_from_list([key, value]), key)
    if cfg.TRAINER.NAME not in TRAINER_REGISTRY.registered_names():
        raise unknown("Trainer", cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names())
    if not cfg.DATASET.NAME:
        asked = args.dataset_config_file or "the command line"
        raise InputError(f"{asked} names no data set: it needs DATASET: NAME, or `tasks:` (docs/collections.md).")
    if cfg.DATASET.NAME not in DATASET_REGISTRY.registered_names():
        raise unknown("Dataset", cfg.DATASET.NAME, DATASET_REGISTRY.registered_names())
    checkpoint = checkpoint_file(cfg.MODEL.BACKBONE.NAME, search_folders(cfg))
    if checkpoint is not None:
        cfg.MODEL.BACKBONE.DIGEST = digest(checkpoint)
    check_ranges(cfg)
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, os.cpu_count() or 1)
    cfg.freeze()
    return cfg


def digest(path: Path) -> str | None:
    """A hash of a file's content; None where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else None


def check_ranges(cfg: CfgNode) -> None:
    """InputError for a value of the right type with which nothing can be meant."""
    section = TRAINER_REGISTRY.get(cfg.TRAINER.NAME).section
    for key, fits, must in (
        ("SEED", cfg.SEED < 1 << 32, "below 2**32"),
        ("DATASET.NUM_SHOTS", cfg.DATASET.NUM_SHOTS != 0, "at least 1, or -1 for all images"),
        ("OPTIM.MAX_EPOCH", cfg.OPTIM.MAX_EPOCH >= 1, "at least 1"),
        ("DATALOADER.TRAIN_X.BATCH_SIZE", cfg.DATALOADER.TRAIN_X.BATCH_SIZE >= 1, "at least 1"),
        ("DATALOADER.TEST.BATCH_SIZE", cfg.DATALOADER.TEST.BATCH_SIZE >= 1, "at least 1"),
        ("TEST.SPLIT", cfg.TEST.SPLIT in ("val", "test"), "val or test"),
        (f"TRAINER.{section}.N_CTX", cfg.TRAINER[section].get("N_CTX", 1) >= 1, "at least 1"),
        (f"TRAINER.{section}.TASK_N_CTX", cfg.TRAINER[section].get("TASK_N_CTX", 0) >= 0, "at least 0"),
    ):
        if not fits:
            raise InputError(f"{key} is {value_of(cfg, key)}; it must be {must}.")


def _read_yaml(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"Config file {path} is missing.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{path} is a {type(content).__name__} and no settings, which are lines of `KEY: value`.")
    return content or {}


def _merge_file(cfg: CfgNode, path: Path, above: tuple[Path, ...] = ()) -> None:
    """Merge a config file, and before it its `_BASE_` (a path relative to it), so that a recipe is written once."""
    content = _read_yaml(path)
    base = content.pop("_BASE_", None)
    if base is not None:
        if path.resolve() in above:
            raise InputError(f"{path} builds on itself by _BASE_.")
        _merge_file(cfg, path.parent / str(base), (*above, path.resolve()))
    _merge(cfg, str(path), lambda: cfg.merge_from_other_cfg(CfgNode(content)))


def _merge(cfg: CfgNode, where: str, merge, key: str | None = None) -> None:
    """Merge settings into the config; an unknown key or a value of the wrong type becomes one line."""
    known = known_keys(cfg)
    if key is not None and key not in known:
        raise _unknown_key(key, known, where)
    try:
        merge()
    except (KeyError, AssertionError) as error:
        raise _unknown_key(str(error).strip("'\"").split()[-1], known, where) from None
    except ValueError as error:
        said = " ".join(str(error).split())
        found = MISMATCH.search(said)  # yacs's words for a value of another type than the default's
        if found is None:
            raise InputError(f"In {where}{f', {key}' if key else ''}: {said}") from None
        kind, default, value, name = found.groups()
        must = KINDS.get(kind, f"of type {kind}")
        raise InputError(f"{name} is '{value}' in {where}; it must be {must}, such as {default!s}.") from None


def _unknown_key(key: str, known: list[str], where: str) -> InputError:
    last = key.rsplit(".", 1)[-1].lower()
    likely = [name for name in known if name.rsplit(".", 1)[-1].lower() == last] or known
    error = str(unknown("Config key", key, likely, where))
    return InputError(
        error.split(" Known:")[0] + ("" if "did you mean" in error else " See dassl/config/defaults.py and trainers/.")
    )


def run(argv: list[str], brief: bool = False) -> dict:
    """Run one run in this process.

    Args:
        argv: the command line, without the program's name.
        brief: details into log.txt alone, progress onto the console.

    Returns:
        the content of results.json.

    Raises:
        InputError: something given cannot be used; nothing half-written is left that a rerun would trust.
    """
    args = parse_args(argv)
    cfg = setup_cfg(args)
    folder = Path(cfg.OUTPUT_DIR)
    method = TRAINER_REGISTRY.get(cfg.TRAINER.NAME).label(cfg)
    what = f"{method} {cfg.DATASET.NAME} seed {cfg.SEED}"
    check_same_settings(cfg, folder)
    results = _finished(args, folder, what)  # before anything is written
    if results is not None:
        return results
    with opened(folder, cfg):
        results = _finished(args, folder, what)  # by another process, until just now
        if results is None:
            with Tee(folder / "log.txt", quiet=brief) as tee, wandb_log(cfg, folder, what) as log:
                results = _run(args, cfg, folder, Progress(what, tee.console, brief, log), argv)
                if log is not None:
                    log.summary(results)
        return results


def _finished(args: argparse.Namespace, folder: Path, what: str) -> dict | None:
    """The results of a run that need not be repeated, which it says; None otherwise."""
    results = None if args.eval_only else read_results(folder)
    if results is not None:
        print(f"{what}: already finished, {results['mean']:.1f}% ({folder})")
    return results


def _run(args: argparse.Namespace, cfg: CfgNode, folder: Path, progress: Progress, argv: list[str]) -> dict:
    began = time.time()
    if cfg.SEED >= 0:
        print(f"Setting fixed seed: {cfg.SEED}")
        set_random_seed(cfg.SEED)
    if torch.cuda.is_available() and cfg.USE_CUDA:
        torch.backends.cudnn.benchmark = True
    print(f"** Arguments **\n{vars(args)}\n** Config **\n{cfg}\n** Versions **\n{versions()}")
    if cfg.VERBOSE and not progress.brief:
        print(f"** System info **\n{collect_env_info()}\n")
    try:
        trainer = _build(cfg)
        trainer.watch = progress
        if args.eval_only:
            if not args.model_dir and count_num_param(trainer.model):
                raise InputError(
                    "--eval-only needs --model-dir, the folder of the run whose checkpoint is to be evaluated."
                )
            if args.model_dir:
                trainer.load_model(args.model_dir, epoch=args.load_epoch)
            trainer.test()
        elif not args.no_train:
            trainer.train()
    except InputError as error:
        # From a loader's worker process the message comes wrapped in a traceback; its last line is the one to show.
        raise InputError(str(error).strip().splitlines()[-1].removeprefix("common.errors.InputError: ")) from None
    finally:
        progress.close()
    if args.no_train or cfg.TEST.NO_TEST:
        return {}
    report = trainer.report()
    report["seconds"]["total"] = round(time.time() - began + trainer.seconds_before, 3)
    source, epoch = (args.model_dir, args.load_epoch) if args.eval_only else (folder, None)
    results = {
        "finished": True,
        "method": trainer.label(cfg),
        "trainer": cfg.TRAINER.NAME,
        "dataset": Path(args.dataset_config_file).stem or cfg.DATASET.NAME,
        "config": Path(args.config_file).stem,
        "backbone": cfg.MODEL.BACKBONE.NAME,
        "shots": cfg.DATASET.NUM_SHOTS,
        "seed": cfg.SEED,
        **report,
        "command": list(argv),
        "data_root": str(data_root(cfg)),
        "evaluated": args.model_dir if args.eval_only else None,
        "checkpoint": digest(checkpoint_of(source, epoch)),
        "versions": versions(),
        "device": str(trainer.device),
        "git_commit": git_commit(),
    }
    # An evaluation is no finished run: the mark is for what was trained (or needs no training) in this very folder.
    name = "evaluation.json" if args.eval_only else "results.json"
    write_atomically(folder / name, json.dumps(results, indent=1) + "\n")
    return results


def task_names(argv: list[str]) -> list[str]:
    """The names of the tasks that a run with this command line is about; no image is read and nothing is written into
    its folder."""
    cfg = setup_cfg(parse_args(argv))
    with contextlib.redirect_stdout(None):
        return [task.name for task in layout_of(_build(cfg, build_dataset)).tasks]


def _build(cfg: CfgNode, build: Callable = build_trainer):
    """Dassl's build_trainer, or another such function, whose own complaints about settings become one line."""
    try:
        return build(cfg)
    except (ValueError, AssertionError, FileNotFoundError) as error:
        raise InputError(f"These settings cannot be used: {' '.join(str(error).split())}") from error


def main(argv: list[str] | None = None) -> int:
    """The command line: 0, or 2 with one line on standard error when something given cannot be used."""
    try:
        run(sys.argv[1:] if argv is None else argv)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
