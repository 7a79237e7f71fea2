"""Peak memory of the text side of one training step: CLIP's padded encoder against the packed one.

    python -m benchmarks.memory [--collections General-10] [--json]

Each measurement runs in its own process, on Linux or a GPU. On a CPU the plain path is measured at two part sizes and
extrapolated linearly, because all 1191 padded prompts of General-10 would take about 50 GiB; the row says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.common import DTYPES, arguments, layout, parsed, show, text_tower
from benchmarks.text_encoder import Step
from prompting.tasks import Task, TaskLayout

PLAIN_PARTS = (40, 120)


def peak(way: str, collection: str, tower_name: str, part: int, dtype: torch.dtype = torch.float32) -> float:
    """Return the GiB that one step adds to the memory in use before it; run this in a fresh process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tower, tasks = text_tower(tower_name, dtype, device), layout(collection)
    step = Step(tower, tasks, False, part)
    # A step with a single class loads libraries and allocates their buffers before the measurement.
    Step(tower, TaskLayout((Task("flower", ("rose",)),)), False, 1).ours()
    if way == "plain":
        step.prompts = step.prompts[:part]  # a single part
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak, on Linux
        before = memory("VmRSS")
    (step.ours if way == "ours" else step.plain)()
    after = torch.cuda.max_memory_allocated() if device == "cuda" else memory("VmHWM")
    return (after - before) / (1 << 30)


def memory(field: str) -> int:
    """Return the memory of this process in bytes, now (VmRSS) or at its peak (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {field}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collections", default="Plant-6,General-10")
    parser.add_argument(
        "--one", nargs=3, metavar=("WAY", "COLLECTION", "PART"), help="make a single measurement (used internally)"
    )
    args = parsed(parser)
    if args.one:
        way, collection, part = args.one
        print(json.dumps(peak(way, collection, args.tower, int(part), DTYPES[args.dtype])))
        return

    def measure(way: str, collection: str, part: int) -> float:
        command = [
            sys.executable,
            "-m",
            "benchmarks.memory",
            "--tower",
            args.tower,
            "--dtype",
            args.dtype,
            "--one",
            way,
            collection,
            str(part),
        ]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    rows: list[dict[str, object]] = []
    for name in args.collections.split(","):
        classes = layout(name).n_classes
        ours = measure("ours", name, 100)
        if torch.cuda.is_available():
            plain, how = measure("plain", name, classes), "measured"
        else:
            few, many = (measure("plain", name, part) for part in PLAIN_PARTS)
            plain = few + (many - few) * (classes - PLAIN_PARTS[0]) / (PLAIN_PARTS[1] - PLAIN_PARTS[0])
            how = f"from {few:.2f} and {many:.2f} at {PLAIN_PARTS[0]} and {PLAIN_PARTS[1]} classes"
        rows.append(
            {
                "collection": name,
                "classes": classes,
                "plain GiB": plain,
                "ours GiB": ours,
                "ratio": plain / ours,
                "plain": how,
            }
        )
    show(rows, args.json, tower=args.tower, dtype=args.dtype)


if __name__ == "__main__":
    main()
