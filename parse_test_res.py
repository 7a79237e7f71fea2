"""Means of test results over seeds, read from log.txt files: CoOp's script of this name, for its logs and for ours.

    python parse_test_res.py output/garden8/CoOp-CA/garden_vit_ep50/4shots      # holds seed1/log.txt, seed2/log.txt ...
    python parse_test_res.py output/garden8/CoOp-CA/garden_vit_ep50 --multi-exp # holds such folders

A log counts from the line that says that training has finished on, or with --test-log from its first result on; the
last figure in it is taken. A log without any is named on standard error and left out. What our logs say is the mean
over tasks, each by its own metric; the tasks' figures are in results.json and bash scripts/report.sh.
"""

from __future__ import annotations

import argparse
import re
import sys
from math import sqrt
from pathlib import Path
from statistics import fmean, pstdev

TRAINED, TESTED = "Finish training", "=> result"


class Unreadable(Exception):
    """What cannot be summarised; the message is one line."""


def last_figure(log: Path, figure: re.Pattern, signal: str) -> float | None:
    """The last figure of a log behind its first line ``signal``; None where there is none."""
    try:
        lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines()]
    except OSError as error:
        raise Unreadable(f"{log} cannot be read: {error.strerror}; name the folder that holds the seeds'.") from None
    if signal not in lines:
        return None
    found = (figure.search(line) for line in lines[lines.index(signal) :])
    values = [match.group(1) for match in found if match]
    try:
        return float(values[-1]) if values else None
    except ValueError:
        raise Unreadable(f"{log}: '{values[-1]}' is no number.") from None


def visible(folder: Path) -> list[Path]:
    """The folders in a folder by name, without hidden ones."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise Unreadable(f"{folder} cannot be read: {error.strerror}; name a folder of runs.") from None


def summarise(folder: Path, shown: str, keyword: str, signal: str, ci95: bool) -> float:
    """Prints the figure of every log in the folder's folders and their mean, which it returns.

    ``shown`` is what the folder is called, as it was given. The deviation is the population's, as numpy's default.
    """
    print(f"Parsing files in {shown}")
    figure = re.compile(rf"\* {keyword}: ([\d.eE+-]+)%")
    values = []
    for inner in visible(folder):
        value = last_figure(inner / "log.txt", figure, signal)
        name = f"{shown.rstrip('/')}/{inner.name}/log.txt"
        if value is None:
            print(f"{name} has no {keyword} behind '{signal}' and is left out.", file=sys.stderr)
        else:
            values.append((name, value))
    if not values:
        raise Unreadable(f"Nothing found in {shown}: no log.txt in its folders has {keyword} behind '{signal}'.")
    for name, value in values:
        print(f"file: {name}. {keyword}: {value:.2f}%. ")
    numbers = [value for _, value in values]
    spread = pstdev(numbers)
    if ci95:
        spread *= 1.96 / sqrt(len(numbers))
    print("===")
    print(f"Summary of directory: {shown}")
    print(f"* {keyword}: {fmean(numbers):.2f}% +- {spread:.2f}%")
    print("===")
    return fmean(numbers)


def main(argv: list[str] | None = None) -> int:
    """The command line; 0, or 2 with one line when there is nothing to summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", help="folder that holds a folder a seed, each with log.txt")
    parser.add_argument("--ci95", action="store_true", help="half a 95%% confidence interval for the deviation")
    parser.add_argument("--test-log", action="store_true", help="logs of evaluations, which train nothing")
    parser.add_argument("--multi-exp", action="store_true", help="the folder holds several such folders")
    parser.add_argument("--keyword", default="accuracy", help="what to read, such as macro_f1; default: accuracy")
    given = parser.parse_args(argv)
    signal = TESTED if given.test_log else TRAINED
    try:
        re.compile(given.keyword)
        if not given.multi_exp:
            summarise(Path(given.directory), given.directory, given.keyword, signal, given.ci95)
            return 0
        inner = visible(Path(given.directory))
        if not inner:
            raise Unreadable(f"Nothing found in {given.directory}: it holds no folder.")
        name = given.directory.rstrip("/")
        means = [summarise(path, f"{name}/{path.name}", given.keyword, signal, given.ci95) for path in inner]
    except (Unreadable, re.error) as error:
        print(error if isinstance(error, Unreadable) else f"--keyword {given.keyword}: {error}", file=sys.stderr)
        return 2
    print(f"Average performance\n* {given.keyword}: {fmean(means):.2f}%")
    return 0


if __name__ == "__main__":
    sys.exit(main())
