"""One run: one method, one collection, one number of shots, one seed.

A run is a folder: config.yaml, log.txt, prompt_learner/ (checkpoints), tasks.json (their tasks), tensorboard/,
classifier.json and classifier.safetensors (what was tested, see `classifier.bundle`) and, written last, results.json,
whose ``"finished": true`` makes the run finished and whose checksum covers all of it. A finished run is reported, not
repeated, unless its pictures changed; an unfinished one is resumed. An evaluation writes evaluation.json, which names
its checkpoint, and a classifier too.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dassl.data.datasets import build_dataset
from dassl.engine import build_trainer
from dassl.utils import collect_env_info, count_num_param, set_random_seed
from yacs.config import CfgNode

from classifier.bundle import used, write_bundle
from common import plugins
from common.checkpoints import checkpoint_of
from common.errors import FULL, InputError, of_system
from common.files import digest, sealed, write_atomically
from common.notices import notice
from common.paths import CONFIG, EVALUATION, LOG, RESULTS
from common.text import one_line
from datasets.collection import layout_of
from datasets.images import data_root
from runs import pictures
from runs.determinism import algorithms
from runs.folder import check_same_pixels, check_same_settings, git_commit, opened, versions
from runs.log import Tee
from runs.progress import Progress
from runs.results import DamagedRun, RunError, read_record, read_results, read_run
from runs.threads import threads_for
from runs.wandb_log import wandb_log
from trainers.engine.calibrating import Temperature
from trainers.engine.checkpoint_fit import noted_images
from trainers.engine.knobs import method_of
from trainers.engine.views import shown_in_tests

MEASURED = {"accuracy", "overall_accuracy", "class_mean_accuracy", "correct", "total", "confusion"}  # of a task
MEASURED |= {"temperature", "temperature_from", "ece", "ece_uncalibrated"}
DRAWN_TOWER = "garden_clip.safetensors"


@dataclass(frozen=True)
class Request:
    """What a run does beside its settings, and what its results record.

    Args:
        dataset, config: names of the config files.
        command: the arguments of train.py that ask for the same.
        evaluate: evaluate a checkpoint instead of training.
        model_dir, load_epoch: the run folder of that checkpoint, and its epoch; None: the one that the run ended with.
        train: False builds everything and trains nothing.
        brief: details go to log.txt alone, progress to the console.
    """

    dataset: str = ""
    config: str = ""
    command: tuple[str, ...] = ()
    evaluate: bool = False
    model_dir: str = ""
    load_epoch: int | None = None
    train: bool = True
    brief: bool = False


def run(cfg: CfgNode, request: Request) -> dict[str, Any]:
    """Run one run in this process.

    Args:
        cfg: its settings, from `runs.config.load_config`; OUTPUT_DIR is its folder.

    Returns:
        the content of results.json; empty if nothing was trained or tested.

    Raises:
        InputError: something in the settings cannot be used; nothing half-written is left that a rerun would trust.
    """
    folder = Path(cfg.OUTPUT_DIR)
    title = f"{method_of(cfg.TRAINER.NAME, cfg).name} {cfg.DATASET.NAME} seed {cfg.SEED}"
    check_same_settings(cfg, folder)
    results = _finished(cfg, request, folder, title)  # before anything is written
    if results is not None:
        return results
    with disk_full_in_one_line(folder), opened(folder, cfg), algorithms(cfg):
        results = _finished(cfg, request, folder, title)  # another process may have finished it until now
        if results is None:
            tee = Tee(folder / LOG, quiet=request.brief)
            with tee, wandb_log(cfg, folder, title) as log, threads_for(cfg):
                results = _run(cfg, request, folder, Progress(title, tee.console, request.brief, log))
                if log is not None:
                    log.summary(results)
        return results


@contextlib.contextmanager
def disk_full_in_one_line(folder: Path) -> Iterator[None]:
    """DiskFull instead of the error of a write for which there is no space, in TensorBoard's thread too."""
    usual = threading.excepthook

    def hook(args: Any) -> None:  # the next call that logs raises the error again
        if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in FULL):
            usual(args)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise of_system(error, folder) from None
    finally:
        threading.excepthook = usual


def _finished(cfg: CfgNode, request: Request, folder: Path, title: str) -> dict[str, Any] | None:
    """The results of a run that need not be repeated, which is printed; None otherwise.

    Raises:
        InputError: its pictures changed since.
    """
    if request.evaluate:
        return None
    try:
        mean = read_run(folder).mean
    except RunError as error:
        if isinstance(error, DamagedRun):
            notice(str(error))
        return None
    pictures.check(folder, data_root(cfg), "choose another output folder, or remove that one")
    print(f"{title}: already finished, {'not tested' if math.isnan(mean) else f'{mean:.1f}%'} ({folder})")
    return read_record(folder)


def _run(cfg: CfgNode, request: Request, folder: Path, progress: Progress) -> dict[str, Any]:
    began = time.time()
    if cfg.SEED >= 0:
        print(f"Setting fixed seed: {cfg.SEED}")
        set_random_seed(cfg.SEED)
    print(f"** Request **\n{request}\n** Config **\n{cfg}\n** Versions **\n{versions()}")
    if cfg.VERBOSE and not request.brief:
        print(f"** System info **\n{collect_env_info()}\n")
    warn_of_drawn_tower(cfg)
    try:
        trainer = _build(cfg)
        trainer.watch = progress
        built = getattr(trainer, "cfg", cfg)  # in which image size and pixels follow the tower
        check_same_pixels(built, folder)
        write_atomically(folder / CONFIG, built.dump())
        if request.evaluate:
            if not request.model_dir and (count_num_param(trainer.model) or cfg.RESIDUAL.FIT):
                raise InputError(
                    "--eval-only needs --model-dir, the folder of the run whose checkpoint is to be evaluated."
                )
            if cfg.RESIDUAL.FIT and request.load_epoch is not None:
                raise InputError("A residual is fitted once training has ended; omit --load-epoch, or the residual.")
            if request.model_dir:
                trainer.load_model(request.model_dir, epoch=request.load_epoch)
                trainer.trained_in = Path(request.model_dir)
                if request.load_epoch is None:  # what another epoch would need is not recorded
                    trainer.trained_temperatures = _temperatures_in(Path(request.model_dir))
                    trainer.evaluates(read_results(request.model_dir) or {})
            trainer.test()
        elif request.train:
            trainer.train()
    except InputError as error:
        # From a loader's worker process the message comes wrapped in a traceback, whose last line is the message.
        kind = type(error)
        last = str(error).strip().splitlines()[-1]
        raise kind(last.removeprefix(f"{kind.__module__}.{kind.__qualname__}: ")) from None
    finally:
        progress.close()
    if not request.train or cfg.TEST.NO_TEST:
        return {}
    report = trainer.report()
    report["seconds"]["total"] = round(time.time() - began + trainer.seconds_before, 3)
    source, epoch = (request.model_dir, request.load_epoch) if request.evaluate else (folder, None)
    results = {
        "finished": True,
        "method": trainer.label(cfg),
        "trainer": cfg.TRAINER.NAME,
        "dataset": request.dataset or cfg.DATASET.NAME,
        "config": request.config,
        "backbone": cfg.MODEL.BACKBONE.NAME,
        "shots": cfg.DATASET.NUM_SHOTS,
        "seed": cfg.SEED,
        **report,
        "command": list(request.command),
        "data_root": str(data_root(cfg)),
        "evaluated": request.model_dir if request.evaluate else None,
        "checkpoint": digest(checkpoint_of(source, epoch)),
        "versions": versions(),
        "device": str(trainer.device),
        "git_commit": git_commit(),
        **({"plugins": {str(path): digest(path) for path in plugins.paths()}} if plugins.paths() else {}),
    }
    # An evaluation is not a finished run: the mark is for a run that was trained (or needs no training) in this folder.
    name = EVALUATION if request.evaluate else RESULTS
    data = trainer.dm.dataset
    pictures.record(folder, data_root(cfg), (item.impath for item in [*data.train_x, *(data.val or []), *data.test]))
    _write_classifier(folder, trainer, results)
    text = json.dumps(sealed(results), indent=1) + "\n"
    write_atomically(folder / name, text)
    return json.loads(text)


def _temperatures_in(folder: Path) -> dict[str, Temperature]:
    """The temperatures that a finished run recorded, by task; empty if there are none."""
    try:
        tasks = read_run(folder).tasks
    except RunError:
        return {}
    return {t.name: Temperature(t.temperature, t.temperature_from) for t in tasks if t.temperature is not None}


def _write_classifier(folder: Path, trainer: Any, results: dict[str, Any]) -> None:
    """Write what was tested into a run's folder, see `classifier.bundle`."""
    cfg, head = trainer.cfg, trainer.tested_head
    if head is None:  # of a plug-in
        print(f"{results['method']} has no head, so no classifier is written")
        return
    tower = trainer.tower
    keys = ("method", "trainer", "dataset", "config", "shots", "command", "versions", "device", "git_commit")
    tied = method_of(cfg.TRAINER.NAME, cfg).tied_to
    questions = None if tied == "classes" else trainer.questions()
    if questions is not None:
        questions.images = noted_images(results["evaluated"] or folder)
    needs_text = head.needs_text or questions is not None
    write_bundle(
        folder,
        [head],
        shown_in_tests(cfg, tower.preprocessing.resize_mode),
        used(tower, trainer.knobs.PREC, needs_text, os.path.abspath(results["data_root"])),
        [[{} if trainer.untested else {k: v for k, v in task.items() if k in MEASURED} for task in results["tasks"]]],
        {**{key: results[key] for key in keys}, "seeds": [results["seed"]], "evaluated": results["evaluated"]},
        [questions],
    )


def warn_of_drawn_tower(cfg: CfgNode) -> None:
    """Say so if pictures other than Garden-8's are shown to the small CLIP, which knows drawn flowers only."""
    if Path(cfg.MODEL.BACKBONE.NAME).name == DRAWN_TOWER and cfg.DATASET.NAME != "Garden8":
        notice(
            f"Warning: {DRAWN_TOWER} was trained on drawn flowers, so expect chance level on {cfg.DATASET.NAME}; "
            "--cfg rn50_ep50 takes OpenAI's RN50, which suits photographs."
        )


def task_names(cfg: CfgNode) -> list[str]:
    """The names of the tasks of a run with these settings; no image is read and nothing is written to its folder."""
    with contextlib.redirect_stdout(None):
        return [task.name for task in layout_of(_build(cfg, build_dataset)).tasks]


def _build(cfg: CfgNode, build: Callable[[CfgNode], Any] = build_trainer) -> Any:
    """Dassl's build_trainer, or another such function; its complaints about settings become one line."""
    try:
        return build(cfg)
    except (ValueError, AssertionError, FileNotFoundError) as error:
        raise InputError(f"These settings cannot be used: {one_line(error)}") from error
