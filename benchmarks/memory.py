"""Peak memory of one training step's text side: CLIP's padded encoder against the packed one.

    python -m benchmarks.memory [--collections General-10] [--json]

Each measurement is a process of its own (Linux, or a GPU). On a CPU the plain path is measured at two part sizes and
extrapolated in a straight line, since all 1191 padded prompts of General-10 at once would take about 50 GiB; the row
says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import arguments, layout, show, text_tower  # noqa: E402
from benchmarks.text_encoder import Step  # noqa: E402
from prompting.tasks import Task, TaskLayout  # noqa: E402

PLAIN_PARTS = (40, 120)


def peak(way: str, collection: str, tower_name: str, part: int) -> float:
    """GiB that one step takes on top of what was there before it; run this in a fresh process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tower, tasks = text_tower(tower_name, device=device), layout(collection)
    step = Step(tower, tasks, False, part)
    # One step with a single class first, so that libraries and their buffers are there before counting.
    Step(tower, TaskLayout((Task("flower", ("rose",)),)), False, 1).ours()
    if way == "plain":
        step.prompts = step.prompts[:part]  # a single part
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
        before = memory("VmRSS")
    step.ours() if way == "ours" else step.plain()
    after = torch.cuda.max_memory_allocated() if device == "cuda" else memory("VmHWM")
    return (after - before) / (1 << 30)


def memory(field: str) -> int:
    """Bytes that this process holds (VmRSS) or held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {field}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collections", default="Plant-6,General-10")
    parser.add_argument(
        "--one", nargs=3, metavar=("WAY", "COLLECTION", "PART"), help="one measurement, for the processes"
    )
    args = parser.parse_args()
    if args.one:
        way, collection, part = args.one
        print(json.dumps(peak(way, collection, args.tower, int(part))))
        return

    def measure(way: str, collection: str, part: int) -> float:
        command = [sys.executable, __file__, "--tower", args.tower, "--one", way, collection, str(part)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    rows = []
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
    show(rows, args.json, tower=args.tower)


if __name__ == "__main__":
    main()
