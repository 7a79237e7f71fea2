"""Means of test results over seeds, read from log.txt files: CoOp's script of this name, for its logs and for ours.

    python parse_test_res.py output/garden8/CoOp-CA/garden_vit_ep50/4shots      # contains seed1/log.txt, ...
    python parse_test_res.py output/garden8/CoOp-CA/garden_vit_ep50 --multi-exp # contains such folders

Logs are read from the line that training has finished, or with --test-log from their first result; the last value
counts. A log without one is reported on standard error and ignored. The values in our logs are means over tasks, each
with its own metric; those of single tasks are in results.json and shown by bash scripts/report.sh.
"""

from __future__ import annotations

import re
import sys
from math import inf, isfinite, sqrt
from pathlib import Path
from statistics import fmean, pstdev

from common.errors import InputError
from common.files import read_bytes
from common.paths import LOG
from launcher import frame

LOG_BYTES = 1 << 30
TRAINED, TESTED = "Finish training", "=> result"


def last_value(log: Path, pattern: re.Pattern[str], signal: str) -> float | None:
    """The last value in a log after its first line ``signal``; None if there is none."""
    try:
        lines = [line.strip() for line in read_bytes(log, LOG_BYTES).decode("utf-8", "replace").splitlines()]
    except OSError as error:
        raise InputError(f"{log} cannot be read: {error.strerror}; name the folder of the seeds.") from None
    if signal not in lines:
        return None
    found = (pattern.search(line) for line in lines[lines.index(signal) :])
    values = [match.group("value") for match in found if match]
    try:
        value = float(values[-1]) if values else None
    except ValueError:
        value = inf
    if value is not None and not isfinite(value):
        raise InputError(f"{log}: '{values[-1]}' is not a number.")
    return value


def pattern_of(keyword: str) -> re.Pattern[str]:
    """What a line with the value of a keyword looks like."""
    return re.compile(rf"\* (?:{keyword}): (?P<value>[\d.eE+-]+)%")


def visible(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without hidden ones."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; name a folder of runs.") from None


def summarise(folder: Path, shown: str, keyword: str, signal: str, ci95: bool) -> float:
    """Print the value of each log in the folder's subfolders and their mean; returns the mean.

    ``shown`` is the folder as typed by the user. The standard deviation is that of the population, numpy's default.
    """
    print(f"Parsing files in {shown}")
    pattern = pattern_of(keyword)
    values = []
    for inner in visible(folder):
        value = last_value(inner / LOG, pattern, signal)
        name = f"{shown.rstrip('/')}/{inner.name}/{LOG}"
        if value is None:
            print(f"{name} has no {keyword} after '{signal}' and is ignored.", file=sys.stderr)
        else:
            values.append((name, value))
    if not values:
        raise InputError(f"Nothing found in {shown}: no {LOG} in its subfolders has {keyword} after '{signal}'.")
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


def answer(argv: list[str]) -> int:
    """Summarise what the command line names."""
    parser = frame.parser("python parse_test_res.py", __doc__, ())
    parser.add_argument("directory", help=f"folder with a subfolder per seed, each with {LOG}")
    parser.add_argument("--ci95", action="store_true", help="half a 95%% confidence interval as the deviation")
    parser.add_argument("--test-log", action="store_true", help="read logs of evaluations, which have no training")
    parser.add_argument("--multi-exp", action="store_true", help="the folder contains several such folders")
    parser.add_argument("--keyword", default="accuracy", help="value to read, such as macro_f1; default: accuracy")
    args = parser.parse_args(argv)
    signal = TESTED if args.test_log else TRAINED
    try:
        pattern_of(args.keyword)
    except re.error as error:
        raise InputError(f"--keyword {args.keyword}: {error}") from None
    if not args.multi_exp:
        summarise(Path(args.directory), args.directory, args.keyword, signal, args.ci95)
        return 0
    inner = visible(Path(args.directory))
    if not inner:
        raise InputError(f"Nothing found in {args.directory}: it has no subfolders.")
    name = args.directory.rstrip("/")
    means = [summarise(path, f"{name}/{path.name}", args.keyword, signal, args.ci95) for path in inner]
    print(f"Average performance\n* {args.keyword}: {fmean(means):.2f}%")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 with one line if there is nothing to summarise."""
    return frame.run(answer, argv)


if __name__ == "__main__":
    sys.exit(main())
