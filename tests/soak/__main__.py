"""Kills runs, makes writes fail, damages inputs, and prints one table of the results.

    bash scripts/soak.sh                                 500 damaged inputs, 60 kills, 60 failing writes
    bash scripts/soak.sh --inputs 60 --kills 6 --writes 6
    bash scripts/soak.sh --only towers --inputs 40 --seed 3

Columns: "one line": refused, or named in a message; "identical": the right result; "other": the input is still valid.
All others must be 0. "unclear": refused without naming the file; "lost": a user's file is gone or changed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.paths import REPOSITORY
from tests.soak import inputs
from tests.soak.sandbox import Harm, Outcome, run
from tests.soak.world import METHODS, build, learned, tasks_of

GOOD = ("one line", "identical", "other")
BAD = ("unclear", "tracebacks", "hangs", "silent", "lost")
LONGEST = 900  # characters of a clear line
DISK = ("space left", "too large")


class Soak:
    """Runs the cases of one process in a folder of its own."""

    def __init__(self, folder: Path, seed: int):
        self.seed, self.pristine = seed, folder / "pristine"
        self.world = build(folder / "live", show=lambda line: print(line, file=sys.stderr, flush=True))
        self.seconds = run(self.world.train("SoftCPT", to=self.world.output / "timed")).seconds
        shutil.rmtree(self.world.output / "timed")
        shutil.copytree(self.world.folder, self.pristine, symlinks=True)
        self.right = {method: tasks_of(self.world.run_folder(method)) for method in METHODS}
        self.right["best_val"] = tasks_of(self.world.output / "best")
        self.learned = {method: learned(self.world.run_folder(method)) for method in METHODS}
        self.learned["best_val"] = learned(self.world.output / "best")
        checkpoint = max((self.world.run_folder("SoftCPT") / "prompt_learner").glob("model*"))
        to = self.world.output / "started"
        run(self.world.train("SoftCPT", "MODEL.INIT_WEIGHTS", str(checkpoint), to=to))
        self.right_after_start = tasks_of(to)
        self.report = run(self.world.launch("report", str(self.world.output / "tiny"))).out

    # -- damaged inputs --

    def damaged(self, kind: str, number: int) -> tuple[str, str]:
        """Run one case; returns its column, and a line about it."""
        self.world.restore(self.pristine)
        case = inputs.KINDS[kind](self.world, random.Random(f"{self.seed}/{kind}/{number}"))
        before = self.world.files()
        outcome = run(case.command)
        column = self._judge(kind, case, outcome)
        if column in GOOD:
            after = self.world.files()
            if any(after.get(file) != digest for file, digest in before.items()):
                column = "lost"
        return column, f"{case.path.relative_to(self.world.folder)}: {case.what}: {_ending(outcome)}"

    def _judge(self, kind: str, case: inputs.Case, outcome: Outcome) -> str:
        if inputs.escaped(self.world):
            return "silent"
        if (column := _failed(outcome)) is not None:
            return column
        names = (case.path.name, *case.names)
        named = any(name in outcome.text for name in names if name)
        if outcome.status:
            return "one line" if named and len(outcome.last_line) <= LONGEST else "unclear"
        if kind == "archives":
            found = {path.relative_to(self.world.data).as_posix() for path in case.result.rglob("*") if path.is_file()}
            return "identical" if found == case.expected else "silent"
        if kind == "results reported":
            if named:
                return "one line" if all(text in outcome.out for text in case.shown) else "silent"
            return "identical" if outcome.out == self.report else "silent"
        if case.valid:
            return "other"
        if not case.result.exists():
            return "one line" if named else "silent"
        wanted = case.expected or self.right[case.result.parts[-4] if "recipe" in case.result.parts else "CoOp"]
        wanted = self.right_after_start if wanted == "none" else wanted
        if tasks_of(case.result, case.file) == wanted:
            return "identical"
        return "one line" if named else "silent"

    # -- kills and failing writes --

    def harmed(self, kind: str, number: int) -> tuple[str, str]:
        """Kill a run, or let its writes fail, then run it to its end: it must be what it would have been."""
        self.world.restore(self.pristine)
        rng = random.Random(f"{self.seed}/{kind}/{number}")
        method = rng.choice((*METHODS, "best_val"))
        folder = self.world.output / "best" if method == "best_val" else self.world.run_folder(method)
        shutil.rmtree(folder)
        if rng.random() < 0.5:
            shutil.rmtree(self.world.output / ".bank")
        words = ("TEST.FINAL_MODEL", "best_val") if method == "best_val" else ()
        command = self.world.train("CoOp" if words else method, *words, to=folder)
        told = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            outcome = run(command, self._harm(kind, rng))
            told.append(_ending(outcome))
            killed = kind == "kills" and outcome.status == -9
            if not killed and (column := _failed(outcome)) is not None:
                return column, f"{method}: {told[-1]}"
            if kind == "writes" and outcome.status and not any(text in outcome.last_line for text in DISK):
                return "unclear", f"{method}: {told[-1]}"
        outcome = run(command)
        if (
            outcome.status
            or tasks_of(folder) != self.right[method]
            or not _equal(learned(folder), self.learned[method])
        ):
            return "silent" if not outcome.status else "unclear", f"{method}: {told} and then {_ending(outcome)}"
        return "identical", f"{method}: {told}"

    def _harm(self, kind: str, rng: random.Random) -> Harm:
        where = str(self.world.output)
        if kind == "kills":
            if rng.random() < 0.5:
                return Harm(kill_after=rng.uniform(0.05, 1.1 * self.seconds))
            return Harm(kill_at=rng.randrange(1, 60), folder=where)
        if rng.random() < 0.6:
            return Harm(fail_at=rng.randrange(1, 60), folder=where)
        return Harm(largest_file=int(10 ** rng.uniform(1, 6)))


def _failed(outcome: Outcome) -> str | None:
    if outcome.hung:
        return "hangs"
    if outcome.traceback or outcome.status < 0:
        return "tracebacks"
    return None


def _ending(outcome: Outcome) -> str:
    return f"[{outcome.status}, {outcome.seconds:.1f} s] {outcome.last_line[:300]}"


def _equal(first: dict[str, Any] | None, second: dict[str, Any] | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def jobs_of(args: argparse.Namespace) -> list[tuple[str, int]]:
    """The (kind, number) of all cases."""
    kinds = [kind for kind in inputs.KINDS if not args.only or kind == args.only]
    jobs = [(kinds[k % len(kinds)], k // len(kinds)) for k in range(args.inputs)] if kinds else []
    if args.number is not None:
        jobs = [(args.only, args.number)]
    for kind, count in (("kills", args.kills), ("writes", args.writes)):
        if not args.only or kind == args.only:
            jobs += [(kind, number) for number in range(count)]
    return jobs


def answers(args: argparse.Namespace, jobs: list[tuple[str, int]]) -> Iterator[tuple[str, int, str, str]]:
    """Run the jobs of this process."""
    with tempfile.TemporaryDirectory(prefix="softcpt-soak-") as folder:
        soak = Soak(Path(folder).resolve(), args.seed)
        for kind, number in jobs:
            column, line = (soak.harmed if kind in ("kills", "writes") else soak.damaged)(kind, number)
            yield kind, number, column, line.replace(str(soak.world.folder), "WORLD")


def in_processes(args: argparse.Namespace) -> Iterator[tuple[str, int, str, str]]:
    """Run all jobs in some processes, each with a world of its own."""
    workers = []
    for part in range(args.jobs):
        words = [sys.executable, "-m", "tests.soak", *sys.argv[1:], "--part", str(part)]
        workers.append(subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True))
    for worker in workers:
        assert worker.stdout is not None
        yield from (tuple(json.loads(line)) for line in worker.stdout)
        if worker.wait():
            raise SystemExit(f"A process of the soak failed with status {worker.returncode}.")


def table(found: list[tuple[str, int, str, str]]) -> str:
    """The counts by kind and column."""
    columns = ("tried", *GOOD, *BAD)
    counts = Counter((kind, column) for kind, _, column, _ in found)
    rows: list[tuple[str, ...]] = [("", *columns)]
    for kind in (*inputs.KINDS, "kills", "writes"):
        tried = sum(counts[kind, column] for column in columns)
        if tried:
            rows.append((kind, str(tried), *(str(counts[kind, column]) for column in columns[1:])))
    total = Counter(column for _, _, column, _ in found)
    rows.append(("all", str(len(found)), *(str(total[column]) for column in columns[1:])))
    widths = [max(len(row[k]) for row in rows) for k in range(len(columns) + 1)]
    lines = []
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join((name.ljust(widths[0]), *right)))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bash scripts/soak.sh", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = ", ".join((*inputs.KINDS, "kills", "writes"))
    parser.add_argument("--inputs", type=int, default=500, help="damaged inputs; default: 500")
    parser.add_argument("--kills", type=int, default=60, help="runs that are killed; default: 60")
    parser.add_argument("--writes", type=int, default=60, help="runs whose writes fail; default: 60")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn; default: 0")
    parser.add_argument("--only", metavar="KIND", help=f"one of: {kinds}")
    parser.add_argument("--number", type=int, help="a single case of --only, as a failure names it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: one per core")
    parser.add_argument("--verbose", action="store_true", help="a line for every case")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only and args.only not in kinds:
        parser.error(f"--only {args.only}: it must be one of {kinds}")
    torch.set_num_threads(1)
    jobs = jobs_of(args)
    if args.number is not None:
        args.jobs = 1
    if args.part is not None:
        for answer in answers(args, jobs[args.part :: args.jobs]):
            print(json.dumps(answer), flush=True)
        return 0
    began, found = time.monotonic(), []
    for answer in in_processes(args) if args.jobs > 1 else answers(args, jobs):
        found.append(answer)
        kind, number, column, line = answer
        if args.verbose or column in BAD:
            print(f"{column}: --only '{kind}' --number {number}: {line}", flush=True)
    print(f"\nSeed {args.seed}, {time.monotonic() - began:.0f} s\n\n{table(found)}")
    return int(any(column in BAD for _, _, column, _ in found))


if __name__ == "__main__":
    sys.exit(main())
