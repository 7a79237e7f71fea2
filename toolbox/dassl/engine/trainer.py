"""Trainers built from a configuration: data, model, epochs with their log lines, checkpoints, evaluation."""

from __future__ import annotations

import datetime
import os.path as osp
import shutil
import time
from collections import OrderedDict  # noqa: F401 (for plugins, see below)
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader
from tqdm import tqdm
from yacs.config import CfgNode

from dassl.data import DataManager
from dassl.evaluation import build_evaluator

# Plugins import these from this module, some with a star.
from dassl.modeling import build_backbone, build_head  # noqa: F401
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import (  # noqa: F401
    AverageMeter,
    MetricMeter,
    count_num_param,
    load_checkpoint,
    load_pretrained_weights,
    mkdir_if_missing,
    resume_from_checkpoint,
    save_checkpoint,
    tolist_if_not,
)
from dassl.utils.tools import atomic_path

from .base import TrainerBase
from .simple_net import SimpleNet


class SimpleTrainer(TrainerBase):
    """Builds everything that ``cfg`` describes; the default model is a ``SimpleNet`` classifier."""

    cfg: CfgNode
    device: torch.device
    output_dir: str
    best_result: float  # on the validation data, so far
    time_start: float  # of training, in seconds
    batch_idx: int  # counted from 0
    num_batches: int  # in the current epoch

    dm: DataManager
    train_loader_x: DataLoader
    train_loader_u: DataLoader | None  # None without unlabelled data
    val_loader: DataLoader | None  # None without validation data
    test_loader: DataLoader
    num_classes: int
    num_source_domains: int
    lab2cname: dict[int, str]  # class name by label

    model: nn.Module
    optim: Optimizer | None  # None if nothing is optimized
    sched: LRScheduler | None
    evaluator: Any  # turns logits and labels into results, see dassl.evaluation

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.check_cfg(cfg)
        self.device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
        self.start_epoch = self.epoch = 0
        self.max_epoch = cfg.OPTIM.MAX_EPOCH
        self.output_dir = cfg.OUTPUT_DIR
        self.cfg = cfg
        self.build_data_loader()
        self.build_model()
        self.evaluator = build_evaluator(cfg, lab2cname=self.lab2cname)
        self.best_result = -np.inf

    def check_cfg(self, cfg: CfgNode) -> None:
        """Hook to reject settings that the trainer does not support."""

    def build_data_loader(self) -> None:
        """Build the data attributes. An override must set the same ones, except ``dm``."""
        dm = DataManager(self.cfg)
        self.train_loader_x = dm.train_loader_x
        self.train_loader_u = dm.train_loader_u
        self.val_loader = dm.val_loader
        self.test_loader = dm.test_loader
        self.num_classes = dm.num_classes
        self.num_source_domains = dm.num_source_domains
        self.lab2cname = dm.lab2cname
        self.dm = dm

    def build_model(self) -> None:
        """Build and register the model with its optimizer and schedule. Trainers of methods override this."""
        cfg = self.cfg
        print("Building model")
        self.model = SimpleNet(cfg, cfg.MODEL, self.num_classes)
        if cfg.MODEL.INIT_WEIGHTS:
            load_pretrained_weights(self.model, cfg.MODEL.INIT_WEIGHTS)
        self.model.to(self.device)
        print(f"# params: {count_num_param(self.model):,}")
        self.optim = build_optimizer(self.model, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model("model", self.model, self.optim, self.sched)
        gpus = torch.cuda.device_count()
        if self.device.type == "cuda" and gpus > 1:
            print(f"Detected {gpus} GPUs (use nn.DataParallel)")
            self.model = nn.DataParallel(self.model)

    def train(self) -> None:
        """Train from ``start_epoch``, or from the checkpoint in RESUME or OUTPUT_DIR, to OPTIM.MAX_EPOCH, then test."""
        super().train(self.start_epoch, self.max_epoch)

    def before_train(self) -> None:
        """Resume if there is a checkpoint, open the tensorboard log, start the clock."""
        directory = self.cfg.RESUME or self.cfg.OUTPUT_DIR
        planned = self._cosine_lengths()
        self.start_epoch = self.resume_model_if_exist(directory)
        for loaded in set(self._cosine_lengths()) - set(planned):
            print(
                f"Note: the learning rate follows the checkpoint's cosine of {loaded:g} epochs, although "
                f"OPTIM.MAX_EPOCH is {self.max_epoch}; train from scratch for a cosine of that length"
            )
        if self.start_epoch and self.cfg.TEST.FINAL_MODEL == "best_val":
            self._restore_best_result(directory)
        writer_dir = osp.join(self.output_dir, "tensorboard")
        mkdir_if_missing(writer_dir)
        self.init_writer(writer_dir)
        self.time_start = time.time()

    def _cosine_lengths(self) -> list[float]:
        scheds = (getattr(sched, "successor", sched) for sched in self._scheds.values())
        return [sched.T_max for sched in scheds if isinstance(sched, CosineAnnealingLR)]

    def _restore_best_result(self, directory: str) -> None:
        # Otherwise the first epoch after resuming would count as the best so far and overwrite a better model.
        # A run that continues in a new folder takes the model along, because after_train looks for it there.
        names = self.get_model_names()
        sources, targets = (
            [osp.join(folder, name, "model-best.pth.tar") for name in names] for folder in (directory, self.output_dir)
        )
        best = load_checkpoint(sources[0]).get("val_result") if all(map(osp.exists, sources)) else None
        if best is None:
            return
        self.best_result = best
        if osp.realpath(directory) == osp.realpath(self.output_dir):
            return
        for source, target in zip(sources, targets, strict=True):
            mkdir_if_missing(osp.dirname(target))
            with atomic_path(target) as partial:
                shutil.copyfile(source, partial)

    def after_train(self) -> None:
        """Test the last or the best model, print the elapsed time, close the tensorboard log."""
        print("Finish training")
        if not self.cfg.TEST.NO_TEST:
            if self.cfg.TEST.FINAL_MODEL == "best_val":
                print("Deploy the model with the best val performance")
                self.load_model(self.output_dir)
            else:
                print("Deploy the last-epoch model")
            self.test()
        elapsed = datetime.timedelta(seconds=round(time.time() - self.time_start))
        print(f"Elapsed: {elapsed}")
        self.close_writer()

    def after_epoch(self) -> None:
        """Save the model if it is the best on the validation data, every CHECKPOINT_FREQ epochs, and at the end."""
        done = self.epoch + 1
        freq = self.cfg.TRAIN.CHECKPOINT_FREQ
        if not self.cfg.TEST.NO_TEST and self.cfg.TEST.FINAL_MODEL == "best_val":
            result = self.test(split="val")
            if result > self.best_result:
                self.best_result = result
                self.save_model(self.epoch, self.output_dir, val_result=result, model_name="model-best.pth.tar")
        if done == self.max_epoch or (freq > 0 and done % freq == 0):
            self.save_model(self.epoch, self.output_dir)

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate on the split "val" or "test" (by default TEST.SPLIT), print the results and return the first.

        Without validation data "val" means the test data.
        """
        self.set_model_mode("eval")
        self.evaluator.reset()
        if split is None:
            split = self.cfg.TEST.SPLIT
        if split == "val" and self.val_loader is not None:
            data_loader = self.val_loader
        else:
            split, data_loader = "test", self.test_loader
        print(f"Evaluate on the *{split}* set")
        for batch in tqdm(data_loader, disable=None):  # None: a progress bar only on a terminal
            input, label = self.parse_batch_test(batch)
            self.evaluator.process(self.model_inference(input), label)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        return list(results.values())[0]

    def model_inference(self, input: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, classes) for images."""
        return self.model(input)

    def parse_batch_test(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (batch, 3, height, width) and labels (batch,) on the device."""
        return batch["img"].to(self.device), batch["label"].to(self.device)

    def get_current_lr(self, names: str | list[str] | None = None) -> float:
        """Return the learning rate of the first model's first parameter group."""
        name = self.get_model_names(names)[0]
        optim = self._optims[name]
        assert optim is not None, f"the model '{name}' has no optimizer"
        return optim.param_groups[0]["lr"]

    def _run_batches(self, batches: Iterator[tuple]) -> None:
        """Train on ``self.num_batches`` batches and log; each item holds the arguments of ``forward_backward``."""
        self.set_model_mode("train")
        losses, batch_time, data_time = MetricMeter(), AverageMeter(), AverageMeter()
        freq = self.cfg.TRAIN.PRINT_FREQ
        end = time.time()
        for batch_idx, batch in enumerate(batches):
            self.batch_idx = batch_idx
            data_time.update(time.time() - end)
            summary = self.forward_backward(*batch)
            batch_time.update(time.time() - end)
            losses.update(summary)
            done = batch_idx + 1
            if done % freq == 0 or self.num_batches < freq:
                left = self.num_batches - done + (self.max_epoch - self.epoch - 1) * self.num_batches
                eta = datetime.timedelta(seconds=int(batch_time.avg * left))
                print(
                    f"epoch [{self.epoch + 1}/{self.max_epoch}] batch [{done}/{self.num_batches}] "
                    f"time {batch_time.val:.3f} ({batch_time.avg:.3f}) data {data_time.val:.3f} ({data_time.avg:.3f}) "
                    f"{losses} lr {self.get_current_lr():.4e} eta {eta}"
                )
            step = self.epoch * self.num_batches + batch_idx
            for name, meter in losses.meters.items():
                self.write_scalar(f"train/{name}", meter.avg, step)
            self.write_scalar("train/lr", self.get_current_lr(), step)
            end = time.time()


class TrainerX(SimpleTrainer):
    """Trains on labelled data: ``forward_backward(batch)``."""

    def run_epoch(self) -> None:
        """Train on every batch of ``train_loader_x`` once."""
        self.num_batches = len(self.train_loader_x)
        self._run_batches((batch,) for batch in self.train_loader_x)

    def parse_batch_train(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return images (batch, 3, height, width), labels (batch,) and domains (batch,) on the device."""
        return batch["img"].to(self.device), batch["label"].to(self.device), batch["domain"].to(self.device)


def _next_or_restart(loader: DataLoader, iterator: Iterator) -> tuple[Any, Iterator]:
    """Return the next batch and the iterator to continue with: a new one if the old one was exhausted."""
    try:
        return next(iterator), iterator
    except StopIteration:
        iterator = iter(loader)
        return next(iterator), iterator


class TrainerXU(SimpleTrainer):
    """Trains on pairs of a labelled and an unlabelled batch: ``forward_backward(batch_x, batch_u)``."""

    train_loader_u: DataLoader  # required, unlike in other trainers

    def run_epoch(self) -> None:
        """Train on as many batches as TRAIN.COUNT_ITER says; the shorter loader restarts when it is exhausted."""
        x, u = len(self.train_loader_x), len(self.train_loader_u)
        lengths = {"train_x": x, "train_u": u, "smaller_one": min(x, u)}
        count_iter = self.cfg.TRAIN.COUNT_ITER
        if count_iter not in lengths:
            raise ValueError(f'TRAIN.COUNT_ITER must be one of {", ".join(lengths)}, but got "{count_iter}"')
        self.num_batches = lengths[count_iter]
        self._run_batches(self._batch_pairs())

    def _batch_pairs(self) -> Iterator[tuple]:
        # Create both iterators before the first batch: upstream draws their seeds in this order.
        iter_x: Iterator = iter(self.train_loader_x)
        iter_u: Iterator = iter(self.train_loader_u)
        for _ in range(self.num_batches):
            batch_x, iter_x = _next_or_restart(self.train_loader_x, iter_x)
            batch_u, iter_u = _next_or_restart(self.train_loader_u, iter_u)
            yield batch_x, batch_u

    def parse_batch_train(
        self, batch_x: dict[str, Any], batch_u: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return labelled images, their labels and unlabelled images, on the device."""
        return batch_x["img"].to(self.device), batch_x["label"].to(self.device), batch_u["img"].to(self.device)


def __getattr__(name: str) -> Any:
    # Plugins import it from here; loaded on demand because it takes a second or more.
    if name == "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
