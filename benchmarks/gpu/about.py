"""What the figures were measured with."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.lab import workers
from prompting.image_precision import cpu_name

PACKAGES = ("torchvision", "triton", "numpy", "scipy", "pillow", "safetensors", "transformers", "open_clip_torch")
ASKED = "name,driver_version,memory.total,memory.used,clocks.max.sm,power.limit,utilization.gpu"


def section(bench: Bench) -> None:
    facts: dict[str, Callable[[], Any]] = {
        "dry_run": lambda: bench.dry,
        "gpu": lambda: None if bench.dry else torch.cuda.get_device_name(),
        "gpus": torch.cuda.device_count,
        "python": platform.python_version,
        "torch": lambda: torch.__version__,
        "cuda": lambda: torch.version.cuda,
        "cudnn": torch.backends.cudnn.version,
        "packages": packages,
        "device_properties": lambda: None if bench.dry else properties(),
        "nvidia_smi": nvidia_smi,
        "cpus": os.cpu_count,
        "usable_cpus": workers,
        "threads": torch.get_num_threads,
        "cpu": cpu_name,
        "system": platform.platform,
        # Where TF32 is on, float32 products have factors of 10 bits; the section `methods` turns it off.
        "tf32_matmul": lambda: torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": lambda: torch.backends.cudnn.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision,
        "fp16_reduction": lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "cublas_workspace": lambda: os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "alloc_conf": lambda: os.environ.get("PYTORCH_CUDA_ALLOC_CONF"),
        "bf16": lambda: None if bench.dry else torch.cuda.is_bf16_supported(),
    }
    row: dict[str, Any] = {}
    for name, fact in facts.items():
        try:
            row[name] = fact()
        except Exception as error:  # one unknown fact does not hide the others
            row[name] = f"{type(error).__name__}: {error}"[:200]
    bench.row(**row)


def packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def properties() -> dict[str, Any]:
    gpu = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    return {
        "capability": f"{gpu.major}.{gpu.minor}",
        "multiprocessors": gpu.multi_processor_count,
        "gib": total / (1 << 30),
        "free_gib": free / (1 << 30),
    }


def nvidia_smi() -> dict[str, str] | None:
    command = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(zip(ASKED.split(","), (part.strip() for part in done.stdout.splitlines()[0].split(",")), strict=False))
