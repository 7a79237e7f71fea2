"""A trainer's own training step, with image features in the bank: time, launches, synchronisations, and its options."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import Bench, alarm
from benchmarks.gpu.lab import TINY, Lab, shape_of, tasks_of
from benchmarks.gpu.methods import STEP, gradient_differences, take_step
from benchmarks.gpu.text import on_device, same_bits, text_towers
from benchmarks.text_encoder import Step
from prompting.text_encoder import encode, encode_whole
from trainers.plot import sinkhorn

IMAGES = 400  # training images of a collection, roughly
# Methods of the published table that train in steps, by worth; then the hardest case for laying prompts out.
METHODS = ("SoftCPT-NATA", "CoOp-CA", "CoOp-MT", "PLOT", "SoftCPT-STAR", "ProGrad", "KgCoOp", "SoftCPT-NATS", "CoOp-CS")
SAMPLED = {"TRAINER.SOFTCPT.CLASS_SAMPLE_RATE": 0.1}
CASES: tuple[tuple[str, str, str, Mapping[str, object]], ...] = (
    *(("Plant-6", name, "fp16", {}) for name in METHODS[:4]),
    ("All-44", "SoftCPT-NATA", "fp16", {}),
    ("Plant-6", "SoftCPT-CSTA", "fp16", SAMPLED),
    *(("Plant-6", name, "fp16", {}) for name in METHODS[4:]),
    ("General-10", "SoftCPT-NATA", "fp16", {}),
    ("Plant-6", "SoftCPT-NATA", "bf16", {}),
    ("Plant-6", "SoftCPT-NATA", "fp32", {}),
    ("Plant-6", "CoCoOp", "fp16", {"DATALOADER.TRAIN_X.BATCH_SIZE": 1}),
)
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch", "cudaLaunchKernelExC", "cuLaunchKernelEx")
SYNCS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
COPIES = ("cudaMemcpyAsync", "cudaMemcpy", "cudaMemsetAsync")
COMPILING = 60  # seconds


class Prepared:
    """A trainer in the middle of its first epoch; every call takes the next batch's step."""

    def __init__(self, bench: Bench, case: tuple[str, str, str, Mapping[str, object]]):
        collection, method, precision, settings = case
        lab, tasks = Lab(bench.folder, bench.device), tasks_of(collection, bench.dry)
        shots = max(1, round(IMAGES / tasks.n_classes)) if not bench.dry else 2
        images = lab.collection(f"Step-{collection}", tasks, (shots, 1, 1))
        checkpoint = lab.checkpoint("text-RN50", shape_of("RN50", bench.dry).blind())
        more = {**STEP, "OPTIM.MAX_EPOCH": 1, "DATASET.NUM_SHOTS": shots}
        more["DATALOADER.TRAIN_X.BATCH_SIZE"] = 4 if bench.dry else 32
        self.trainer = lab.trainer(images, checkpoint, method, precision, {**more, **settings})
        began = time.perf_counter()
        take_step(self.trainer)
        bench.wait()
        self.first_ms = 1e3 * (time.perf_counter() - began)  # with the epoch's preparation
        self.trainer.num_batches = 1 << 30  # the schedule does not advance
        self.batches: list[Any] = [batch for batch, _ in zip(self.trainer.train_loader_x, range(16), strict=False)]
        self.taken = 0

    def step(self) -> None:
        batch = self.batches[self.taken % len(self.batches)]
        self.taken += 1
        self.trainer.forward_backward(dict(batch))

    def gradients(self) -> dict[str, Tensor]:
        """Take a step with the first batch, and return copies of the gradients on the CPU."""
        self.taken = 0
        self.step()
        named = self.trainer.model.named_parameters()
        return {n: p.grad.detach().float().cpu().clone() for n, p in named if p.grad is not None}


def wall(bench: Bench, prepared: Prepared, rounds: int = 30) -> dict[str, float]:
    """Return milliseconds of a step: alone with a wait after each, and in a row as training runs."""
    for _ in range(1 if bench.dry else 4):
        prepared.step()
    bench.wait()
    rounds, times = 3 if bench.dry else rounds, []
    for _ in range(rounds):
        began = time.perf_counter()
        prepared.step()
        bench.wait()
        times.append(1e3 * (time.perf_counter() - began))
    began = time.perf_counter()
    for _ in range(rounds):
        prepared.step()
    bench.wait()
    return {
        "ms": statistics.median(times),
        "ms_slowest": max(times),
        "ms_in_a_row": 1e3 * (time.perf_counter() - began) / rounds,
    }


def profiled(bench: Bench, prepared: Prepared) -> dict[str, Any]:
    """Return what PyTorch's profiler counts in one step: operators, launches, copies, waits, the GPU's busy time."""
    activities = [ProfilerActivity.CPU, *([] if bench.dry else [ProfilerActivity.CUDA])]
    with profile(activities=activities) as record:
        prepared.step()
        bench.wait()
    events = list(record.events() or [])
    names = Counter(event.name for event in events)
    row: dict[str, Any] = {"operators": sum(n for name, n in names.items() if name.startswith("aten::"))}
    if bench.dry:
        return row
    on_gpu = [event for event in events if str(event.device_type).endswith("CUDA")]
    kernels = [event for event in on_gpu if not event.name.startswith("Mem")]  # Memcpy, Memset
    row["launches"] = sum(names[name] for name in LAUNCHES)
    row["copies"] = sum(names[name] for name in COPIES)
    row["waits"] = sum(names[name] for name in SYNCS) - 1  # the wait above
    row["kernels"] = len(kernels)
    row["gpu_busy_ms"] = sum(event.time_range.elapsed_us() for event in on_gpu) / 1e3
    return row


def syncs(bench: Bench, prepared: Prepared) -> dict[str, Any]:
    """Return how often a step waits for the GPU, by PyTorch's own warnings, and the lines that do."""
    if bench.dry:
        return {}
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            prepared.step()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    bench.wait()
    mine = [w for w in caught if "called a synchronizing" in str(w.message)]
    lines = Counter(f"{Path(w.filename).name}:{w.lineno}" for w in mine)
    return {"syncs": len(mine), "sync_lines": dict(lines.most_common(12))}


def section(bench: Bench) -> None:
    """The trainer's step."""
    cases = CASES if not bench.dry else (CASES[0], CASES[3], CASES[5])
    for case in cases:
        collection, method, precision, settings = case
        more = {"settings": " ".join(f"{k} {v}" for k, v in settings.items())} if settings else {}
        with bench.making(5, method=method, collection=collection, precision=precision, **more) as row:
            if row is None:
                continue
            prepared = Prepared(bench, case)
            row |= wall(bench, prepared)
            for part in (profiled, syncs):
                try:
                    row |= part(bench, prepared)
                except Exception as error:  # the times above count without it
                    row[f"{part.__name__}_error"] = f"{type(error).__name__}: {error}"[:200]
        bench.free()


def memory(bench: Bench) -> None:
    """Bounded memory: MODEL.TEXT_MEMORY_GB, against a step without a bound."""
    whole: dict[str, Tensor] = {}
    for limit in (None, 1.0, 0.25):
        with bench.making(8, method="SoftCPT-NATA", collection="All-44", limit_gb=limit or "default") as row:
            if row is None:
                continue
            settings = {} if limit is None else {"MODEL.TEXT_MEMORY_GB": limit}
            prepared = Prepared(bench, ("All-44", "SoftCPT-NATA", "fp16", {**settings, "OPTIM.LR": 0}))
            gradients = prepared.gradients()
            row["ms"], row["gib"] = bench.timed(prepared.step, 2 if bench.dry else 10)
            if limit is None:
                whole = gradients
            elif whole:
                row |= gradient_differences(whole, gradients)
        bench.free()


def compiling(bench: Bench) -> None:
    """MODEL.COMPILE, and the same with CUDA graphs, against a step without it."""
    if bench.dry:
        bench.row(skipped="compiling for a CPU takes a minute")
        return
    base: float | None = None
    for way in ("no", "yes", "CUDA graphs"):
        with bench.making(5 if way == "no" else 20, method="SoftCPT-NATA", compile=way) as row:
            if row is None:
                continue
            settings = {"MODEL.COMPILE": str(way == "yes")}
            with alarm(min(COMPILING, bench.left() + 8)):
                prepared = Prepared(bench, ("Plant-6", "SoftCPT-NATA", "fp16", settings))
                if way == "CUDA graphs":
                    graphed = torch.compile(encode_whole, mode="reduce-overhead")
                    prepared.trainer.encode = partial(encode, compiled=graphed)
                    began = time.perf_counter()
                    prepared.step()
                    bench.wait()
                    prepared.first_ms = 1e3 * (time.perf_counter() - began)
                row["first_step_ms"] = prepared.first_ms
                row |= wall(bench, prepared)
            row |= profiled(bench, prepared)
            base = base or row["ms_in_a_row"]
            row["ratio"] = base / row["ms_in_a_row"]


def plans(bench: Bench) -> None:
    """PLOT's transport plans, by how many iterations are queued before the host asks whether to stop; 0: default."""
    for queued in (0, 1, 4, 8, 16, 32):
        with bench.making(2, images=32, places=50, contexts=4, classes=20, queued=queued) as row:
            if row is None:
                continue
            generator = torch.Generator().manual_seed(0)
            x, w = (F.normalize(torch.randn(*s, 1024, generator=generator), dim=-1) for s in ((32, 50), (4, 20)))
            cost = (1 - torch.einsum("imd,kcd->icmk", x + 0.5 * x[:1, :1], w)).flatten(0, 1).to(bench.device)
            work = partial(sinkhorn, cost, 0.1, 100, 0.01, queued)
            row["ms"], row["gib"] = bench.timed(work, 3 if bench.dry else 20)
            began = time.perf_counter()
            for _ in range(10):
                work()
            bench.wait()
            row["ms_in_a_row"] = 100 * (time.perf_counter() - began)


def determinism(bench: Bench) -> None:
    """Whether a step, and a whole run, repeat bit for bit; by default and as PyTorch's deterministic algorithms."""
    models = text_towers(bench)
    for strict in (False, True):
        for collection in ("Plant-6",) if bench.dry else ("Plant-6", "General-10"):
            name = "text side, 10 repeats"
            with bench.making(3, of=name, collection=collection, deterministic_algorithms=strict) as row:
                if row is None:
                    continue
                tower = on_device(bench, models["RN50"], "fp32" if bench.dry else "fp16")
                step = Step(tower, tasks_of(collection, bench.dry), False, 256)
                with Deterministic(strict):
                    row |= same_bits(bench, step, 2 if bench.dry else 10)
    lab = Lab(bench.folder, bench.device)
    collection_file = lab.collection("Tiny", tasks_of("Plant-6", dry=True), (4, 4, 6))
    key = "TRAIN.DETERMINISTIC"
    for settings in ({}, {key: "True"}):
        for method in ("SoftCPT-NATA", "CoOp-CA"):
            with bench.making(
                4, of="two runs of 2 epochs", method=method, setting=key if settings else "default"
            ) as row:
                if row is None:
                    continue
                checkpoint = lab.checkpoint("tiny", TINY)
                with Deterministic(False):  # which the setting may change for the process
                    states = []
                    for _ in range(2):
                        trainer = lab.trainer(collection_file, checkpoint, method, "fp16", {**STEP, **settings})
                        trainer.train()
                        states.append({k: v.detach().cpu().clone() for k, v in trainer.model.state_dict().items()})
                first, second = states
                row["same_bits"] = all(torch.equal(first[k], second[k]) for k in first)
                pairs = [(first[k].float(), second[k].float()) for k in first]
                row["largest_difference"] = max(float((a - b).abs().max()) for a, b in pairs)


class Deterministic:
    """Within it, PyTorch's deterministic algorithms are on or off; afterwards as before."""

    def __init__(self, on: bool):
        self.on = on

    def __enter__(self) -> None:
        self.before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
        self.workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
        if self.on:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # else PyTorch refuses matrix products
        torch.use_deterministic_algorithms(self.on)

    def __exit__(self, *_: object) -> None:
        torch.use_deterministic_algorithms(self.before[0])
        torch.backends.cudnn.deterministic = self.before[1]
        if self.workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        else:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = self.workspace
