"""Image encoding, from tensors and from JPEG files; and one whole cell: SoftCPT-NATA on a collection like Plant-6."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import as_tower, random_clip
from benchmarks.gpu.bench import DTYPES, Bench
from benchmarks.gpu.lab import Lab, forget_towers, shape_of, tasks_of, workers
from prompting.towers import Tower
from trainers.engine.watch import Watch

SHOTS, TESTS = 16, 10  # training and test images per class
PHOTOGRAPH = (500, 375)  # pixels
BATCH = 256
EPOCHS, PUBLISHED = 3, 50  # trained here, and of the published recipe
ORDER = (("RN50", "fp16"), ("ViT-B/16", "fp16"), ("RN50", "bf16"), ("ViT-B/16", "bf16"), ("RN50", "fp32"))


class Marks(Watch):
    """Notes when what was done."""

    def __init__(self) -> None:
        self.encoded: dict[int, list[tuple[float, int]]] = {}  # images in all -> (time, images done)
        self.epochs: list[float] = []

    def encoding(self, done: int, total: int) -> None:
        self.encoded.setdefault(total, []).append((time.perf_counter(), done))

    def epoch(self, done: int, total: int, loss: float) -> None:
        self.epochs.append(time.perf_counter())

    def rate(self, total: int, since: float) -> float:
        """Return images a second, start-up included, of the work that has ``total`` images and began at ``since``."""
        last, done = self.encoded[total][-1]
        return done / (last - since)

    def steady_rate(self, total: int) -> float | None:
        """Return images a second after the first batch; None if there was one batch alone."""
        marks = self.encoded[total]
        seconds = marks[-1][0] - marks[0][0]
        return (marks[-1][1] - marks[0][1]) / seconds if seconds > 0 else None


def photographs(bench: Bench, lab: Lab) -> Path:
    """Return a collection of Plant-6's classes with pictures as large as photographs; toys in a dry run."""
    if bench.dry:
        return lab.collection("Photographs", tasks_of("Plant-6", True), (2, 1, 2), (60, 45))
    return lab.collection("Photographs", tasks_of("Plant-6", False), (SHOTS, 4, TESTS), PHOTOGRAPH)


def flops_of(tower: Tower, images: torch.Tensor) -> float | None:
    """Return the floating-point operations of encoding these images, as PyTorch counts them; None if it cannot."""
    try:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            tower.encode_image(images)
        return float(counter.get_total_flops())
    except Exception:  # a convenience: older versions lack operators
        return None


@contextlib.contextmanager
def as_in_a_run() -> Iterator[None]:
    """Let cuDNN choose its convolutions by measuring, which runs do as well."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def section(bench: Bench) -> None:
    """Image encoding."""
    with as_in_a_run():
        encoding(bench)


def encoding(bench: Bench) -> None:
    with bench.making(20 if not bench.dry else 2, of="from JPEG files", precision="fp16") as row:
        if row is not None:
            row |= from_files(bench)
    batch = 4 if bench.dry else BATCH
    models: dict[str, Any] = {}
    for name, precision in ORDER if not bench.dry else (("RN50", "fp32"), ("ViT-B/16", "bf16")):
        with bench.making(6, tower=name, precision=precision, batch=batch) as row:
            if row is None:
                continue
            if name not in models:
                models[name] = random_clip(shape_of(name, bench.dry))
            tower = as_tower(copy.deepcopy(models[name]), name, DTYPES[precision], bench.device)
            row |= from_tensors(bench, tower, batch)
            if precision != "fp32":
                some = torch.randn(8, 3, tower.preprocessing.size, tower.preprocessing.size)
                exact = as_tower(copy.deepcopy(models[name]), name, torch.float32, bench.device)
                pair = (found.encode_image(some.to(bench.device)) for found in (tower, exact))
                row["feature_difference_to_fp32"] = float((next(pair) - next(pair)).abs().max())
        bench.free()


def from_tensors(bench: Bench, tower: Tower, batch: int) -> dict[str, Any]:
    """Return images a second: resident on the device, and copied there from pageable and from pinned memory."""
    host = torch.randn(batch, 3, tower.preprocessing.size, tower.preprocessing.size)
    here = host.to(bench.device)
    row: dict[str, Any] = {}
    ms, row["gib"] = bench.timed(lambda: tower.encode_image(here), 2 if bench.dry else 10)
    row["images_a_second"] = 1e3 * batch / ms
    flops = flops_of(tower, here[:4])
    if flops is not None:
        row["tflops"] = flops * batch / 4 / ms / 1e9
    ms, _ = bench.timed(lambda: tower.encode_image(host.to(bench.device)).cpu(), 2 if bench.dry else 5, warm=1)
    row["from_pageable_memory"] = 1e3 * batch / ms
    if not bench.dry:
        pinned = host.pin_memory()
        ms, _ = bench.timed(lambda: tower.encode_image(pinned.to(bench.device, non_blocking=True)).cpu(), 5, warm=1)
        row["from_pinned_memory"] = 1e3 * batch / ms
    return row


def from_files(bench: Bench) -> dict[str, Any]:
    """Return images a second from JPEG files to features, as a test of zero-shot CLIP reads and encodes them."""
    lab = Lab(bench.folder, bench.device)
    collection = photographs(bench, lab)
    checkpoint = lab.checkpoint("RN50", shape_of("RN50", bench.dry))
    processes = 1 if bench.dry else workers()
    settings = {"DATALOADER.NUM_WORKERS": processes, "BANK.DIR": bench.folder / "bank-files"}
    trainer = lab.trainer(collection, checkpoint, "ZeroshotCLIP", "fp16", settings)
    trainer.watch = marks = Marks()
    began = time.perf_counter()
    trainer.test()
    total = max(marks.encoded)
    return {
        "tower": "RN50",
        "workers": processes,
        "images": total,
        "images_a_second": marks.rate(total, began),
        "steady": marks.steady_rate(total),
    }


def cell(bench: Bench) -> None:
    """One whole cell of Plant-6's shape, fewer epochs of it than published, and what all of them would take."""
    epochs = 2 if bench.dry else EPOCHS
    with bench.making(25 if not bench.dry else 2, method="SoftCPT-NATA", tower="RN50", precision="fp16") as row:
        if row is None:
            return
        lab = Lab(bench.folder, bench.device)
        began = time.perf_counter()
        collection = photographs(bench, lab)
        checkpoint = lab.checkpoint("RN50", shape_of("RN50", bench.dry))
        row["seconds_writing_files"] = time.perf_counter() - began
        shots = 2 if bench.dry else SHOTS
        processes = 1 if bench.dry else workers()
        settings = {
            "DATASET.NUM_SHOTS": shots,
            "OPTIM.MAX_EPOCH": epochs,
            "DATALOADER.NUM_WORKERS": processes,
            "BANK.DIR": bench.folder / "bank-cell",
            **({"DATALOADER.TRAIN_X.BATCH_SIZE": 4} if bench.dry else {}),
        }
        with as_in_a_run():
            began = time.perf_counter()
            trainer = lab.trainer(collection, checkpoint, "SoftCPT-NATA", "fp16", settings)
            trainer.watch = marks = Marks()
            built = time.perf_counter()
            trainer.train()
            bench.wait()
            ended = time.perf_counter()
        row |= summary_of(trainer, marks, epochs, (began, built, ended))
        row |= {"workers": processes, "shots": shots}
    forget_towers()
    bench.free()


def summary_of(trainer: Any, marks: Marks, epochs: int, times: tuple[float, float, float]) -> dict[str, Any]:
    """Return the parts of a cell, and its seconds with the published number of epochs.

    ``times`` are when the trainer began to be built, was built, and was done.
    """
    began, built, ended = times
    images = len(trainer.dm.dataset.train_x)
    epoch = (marks.epochs[-1] - marks.epochs[0]) / (epochs - 1)
    row: dict[str, Any] = {
        "classes": trainer.layout.n_classes,
        "epochs": epochs,
        "steps_an_epoch": len(trainer.train_loader_x),
        "seconds_building": built - began,
        "seconds_total": ended - began,
        "epoch_seconds": epoch,
    }
    more = epoch
    views = marks.encoded.get(images * epochs)
    if views:  # ahead of training; otherwise an epoch's time includes its views
        row["views_a_second"] = marks.steady_rate(images * epochs)
        more += images / (row["views_a_second"] or marks.rate(images * epochs, built))
    row["step_ms"] = 1e3 * epoch / max(1, row["steps_an_epoch"])
    row[f"seconds_of_{PUBLISHED}_epochs"] = row["seconds_total"] + (PUBLISHED - epochs) * more
    row["how"] = f"{epochs} epochs were trained; the others are taken to cost the same in training and encoding" + (
        "" if views else ", but no views were seen to be encoded ahead"
    )
    return row
