"""SoftCPT on a GPU: are its numbers those of the CPU, and how fast is it? Needs no network, weights or data.

    python -m benchmarks.gpu [--sections methods,text] [--only PLOT] [--budget 280] [--table FILE] > gpu.jsonl
    python -m benchmarks.gpu --dry-run      everything at toy size on the CPU, in less than a minute

Prints one JSON line for each row ("section": ...), the total seconds last, and a table on standard error. An error is a
row, with the place, and does not stop the rest; what the budget has no time for is a row with "skipped". Sections, by
worth:

  about        versions, card, driver, memory, settings
  methods      every method, a training step and the test in each precision, against float32 on the CPU
  text         the text side of a step, packed beside padded: ms, memory, tokens a second, share of the arithmetic limit
  step         the trainer's own step with image features in the bank: ms, launches, waits for the GPU
  cell         a whole cell of Plant-6's shape with 3 of its 50 epochs, and what all of them would take
  determinism  whether steps and runs repeat bit for bit
  images       image encoding, from tensors and from JPEG files
  memory       MODEL.TEXT_MEMORY_GB
  plans        PLOT's transport plans, by how many iterations are queued at a time
  compile      MODEL.COMPILE
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

# Section -> (module, function, most seconds).
SECTIONS = {
    "about": ("about", "section", 15),
    "methods": ("methods", "section", 90),
    "text": ("text", "section", 60),
    "step": ("steps", "section", 50),
    "cell": ("pictures", "cell", 50),
    "determinism": ("steps", "determinism", 25),
    "images": ("pictures", "section", 40),
    "memory": ("steps", "memory", 30),
    "plans": ("steps", "plans", 15),
    "compile": ("steps", "compiling", 70),
}
# What is imported -> how pip calls it.
PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "yacs": "yacs",
    "clip": "clip-anytorch",
    "ftfy": "ftfy",
    "regex": "regex",
    "tqdm": "tqdm",
    "filelock": "filelock",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "threadpoolctl": "threadpoolctl",
    "tensorboard": "tensorboard",
}
REPOSITORY = Path(__file__).resolve().parent.parent.parent
GRACE = 18  # seconds beyond the budget after which the process ends whatever it does


def missing() -> list[str]:
    """Return the packages to install, as pip calls them."""
    found = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    # clip-anytorch imports it; other distributions of `clip` may not.
    return (
        [*found, "'setuptools<81'"]
        if "clip-anytorch" in found and not importlib.util.find_spec("pkg_resources")
        else found
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sections", default=",".join(SECTIONS), help="those to run, with commas between")
    parser.add_argument("--only", default="", help="only rows whose name contains this, such as a method's")
    parser.add_argument("--budget", type=float, default=280, help="seconds in all (default 280)")
    parser.add_argument("--table", default="", help="file for the table; default: standard error")
    parser.add_argument("--dry-run", action="store_true", help="everything at toy size on the CPU")
    args = parser.parse_args()
    args.sections = [name for name in args.sections.split(",") if name]
    unknown = [name for name in args.sections if name not in SECTIONS]
    if unknown:
        parser.exit(2, f"Section '{unknown[0]}' is unknown; known: {', '.join(SECTIONS)}.\n")
    return args


def end_if_stuck(bench: Bench, done: threading.Event) -> None:
    """End the process some time after the budget, unless ``done``: a kernel that hangs cannot be interrupted."""

    def watch() -> None:
        if done.wait(max(0.0, bench.budget - bench.spent) + GRACE):
            return
        bench.row(error=f"still running {GRACE} s after the budget, so the process ends here", ok=False)
        bench.section = "total"
        bench.row(seconds=bench.spent, complete=False)
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def run(bench: Bench, names: list[str]) -> list[str]:
    """Run sections in order; returns those that are left when the GPU refuses further work in this process."""
    from benchmarks.gpu.bench import Broken

    for number, name in enumerate(names):
        module, function, cap = SECTIONS[name]
        began = time.monotonic()
        if bench.budget - bench.spent < 3:
            bench.section = name
            bench.row(skipped="the budget is spent")
            continue
        try:
            with bench.in_section(name, cap):
                getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)(bench)
        except Broken as error:
            bench.row(ok=False, error=f"the GPU is of no more use to this process: {error}"[:300])
            return names[number + 1 :]
        finally:
            bench.section = "sections"
            bench.row(name=name, seconds=time.monotonic() - began)
    return []


def again(args: argparse.Namespace, bench: Bench, names: list[str]) -> None:
    """Run the sections that are left in a new process, which has a fresh GPU context."""
    left = bench.budget - bench.spent
    if not names or left < 30:
        return
    command = [sys.executable, "-m", "benchmarks.gpu", "--sections", ",".join(names), "--only", args.only]
    command += ["--budget", f"{left:.0f}", *(["--table", f"{args.table}.2"] if args.table else [])]
    sys.stdout.flush()
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, check=False, timeout=left + GRACE)


def main() -> int:
    args = parsed()
    began = time.monotonic()
    needed = missing()
    if needed:
        print(
            f"benchmarks.gpu needs packages that are not installed; run: {sys.executable} -m pip install "
            f"{' '.join(needed)}",
            file=sys.stderr,
        )
        return 2
    if importlib.util.find_spec("dassl") is None:
        sys.path.insert(0, str(REPOSITORY / "toolbox"))
    import torch

    from benchmarks.gpu.bench import Bench, table
    from common.errors import InputError

    if not args.dry_run and not torch.cuda.is_available():
        print("PyTorch finds no GPU here; --dry-run runs everything at toy size on the CPU.", file=sys.stderr)
        return 2
    try:
        importlib.import_module("prompting.towers").import_clip()
    except (ImportError, InputError) as error:
        print(f"benchmarks.gpu cannot import clip: {error}", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore")
    # Toy sizes on the CPU: more threads would only wait for each other.
    torch.set_num_threads(1 if args.dry_run else min(4, torch.get_num_threads()))
    done = threading.Event()
    with tempfile.TemporaryDirectory(prefix="softcpt-gpu-", ignore_cleanup_errors=True) as folder:
        bench = Bench("cpu" if args.dry_run else "cuda", args.budget, Path(folder), args.only, began)
        end_if_stuck(bench, done)
        left = run(bench, args.sections)
        done.set()
    rows = bench.rows
    failed = [row for row in rows if "error" in row]
    bench.section = "total"
    bench.row(seconds=bench.spent, rows=len(rows), errors=len(failed), complete=not left)
    text = table(rows)
    if args.table:
        Path(args.table).write_text(text)
    else:
        print(text, file=sys.stderr)
    again(args, bench, left)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
