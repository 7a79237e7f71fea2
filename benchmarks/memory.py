"""Peak memory of the text side of one training step: CLIP's padded encoder against the packed one.

    python -m benchmarks.memory [--collections General-10] [--json]
    python -m benchmarks.memory --collections ImageNet-21k --limit 4 --no-whole

With --limit, ours is measured with MODEL.TEXT_MEMORY_GB: prompts that do not fit are encoded in parts, twice a step.
Each measurement runs in its own process, on Linux or a GPU. On a CPU the plain path is measured at two part sizes and
extrapolated linearly, because all 1191 padded prompts of General-10 would take about 50 GiB; the row says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.common import DTYPES, arguments, device, layout, parsed, seconds, show, text_tower
from benchmarks.text_encoder import Step
from prompting.tasks import Task, TaskLayout
from prompting.text_memory import TextMemory

PLAIN_PARTS = (40, 120)


def peak(way: str, collection: str, tower_name: str, number: float, dtype: torch.dtype) -> dict[str, float]:
    """Measure one step; run this in a fresh process.

    Args:
        way: "plain", with its prompts in parts of ``number``, of which one is encoded; or "ours", in at most ``number``
            GiB (0: as many as it takes).

    Returns:
        "GiB" that the step adds to the memory in use before it, its "seconds", and the "parts" that ours is encoded in.
    """
    tower, tasks = text_tower(tower_name, dtype, device()), layout(collection)
    if way == "ours" and number:
        tower.memory = TextMemory(int(number * (1 << 30)))
    step = Step(tower, tasks, False, int(number))
    # A step with a single class loads libraries and allocates their buffers before the measurement.
    Step(tower, TaskLayout((Task("flower", ("rose",)),)), False, 1).ours()
    if way == "plain":
        step.prompts = step.prompts[: int(number)]  # a single part
    if device() == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak, on Linux
        before = memory("VmRSS")
    taken = seconds(step.ours if way == "ours" else step.plain)
    after = torch.cuda.max_memory_allocated() if device() == "cuda" else memory("VmHWM")
    return {"GiB": (after - before) / (1 << 30), "seconds": taken, "parts": step.parts}


def memory(field: str) -> int:
    """Return the memory of this process in bytes, now (VmRSS) or at its peak (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure(args: argparse.Namespace, way: str, collection: str, number: float) -> dict[str, float]:
    """Call `peak` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--tower", args.tower, "--dtype", args.dtype]
    command += ["--threads", str(args.threads), "--one", way, collection, str(number)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def against_plain(args: argparse.Namespace, name: str) -> dict[str, object]:
    """Return our peak beside that of the plain path."""
    classes = layout(name).n_classes
    ours = measure(args, "ours", name, 0)["GiB"]
    if device() == "cuda":
        plain, how = measure(args, "plain", name, classes)["GiB"], "measured"
    else:
        few, many = (measure(args, "plain", name, part)["GiB"] for part in PLAIN_PARTS)
        plain = few + (many - few) * (classes - PLAIN_PARTS[0]) / (PLAIN_PARTS[1] - PLAIN_PARTS[0])
        how = f"from {few:.2f} and {many:.2f} at {PLAIN_PARTS[0]} and {PLAIN_PARTS[1]} classes"
    row = {"plain GiB": plain, "ours GiB": ours, "ratio": plain / ours, "plain": how}
    return {"collection": name, "classes": classes, **row}


def limited(args: argparse.Namespace, name: str) -> dict[str, object]:
    """Return our peak and time with MODEL.TEXT_MEMORY_GB, and without it unless that takes too much."""
    found = measure(args, "ours", name, args.limit)
    row = {"limit GiB": args.limit, "parts": found["parts"], "GiB": found["GiB"], "s": found["seconds"]}
    if not args.no_whole:
        whole = measure(args, "ours", name, 0)
        row |= {"whole GiB": whole["GiB"], "whole s": whole["seconds"], "ratio": found["seconds"] / whole["seconds"]}
    return {"collection": name, "classes": layout(name).n_classes, **row}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collections", default="Plant-6,General-10")
    parser.add_argument(
        "--limit", type=float, default=0.0, help="GiB for ours (MODEL.TEXT_MEMORY_GB), not against plain"
    )
    parser.add_argument("--no-whole", action="store_true", help="with --limit: do not measure a step without it")
    parser.add_argument(
        "--one", nargs=3, metavar=("WAY", "COLLECTION", "NUMBER"), help="make a single measurement (used internally)"
    )
    args = parsed(parser)
    if args.one:
        way, collection, number = args.one
        print(json.dumps(peak(way, collection, args.tower, float(number), DTYPES[args.dtype])))
        return
    rows = [(limited if args.limit else against_plain)(args, name) for name in args.collections.split(",")]
    show(rows, args.json, tower=args.tower, dtype=args.dtype)


if __name__ == "__main__":
    main()
