"""Checks a data set, or the sources or tasks of a collection: which images are there, and what is wrong with them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.files import is_regular
from common.text import some
from launcher import frame
from launcher.data.items import Item, find_items, make_parser, read_arguments

if TYPE_CHECKING:  # it imports dassl
    from datasets.source import Source

T = TypeVar("T")
R = TypeVar("R")
PARTS = ("train", "val", "test")
SHOWN = 10  # of a long list of files, unless --all asks for everything


@dataclass
class Report:
    """The findings on one item; ``tasks`` is empty if it could not be read."""

    item: Item
    tasks: list = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # a line each, as in the lists below
    unreadable: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Classes, and images of each split."""
        found = {part: sum(len(getattr(task, part)) for task in self.tasks) for part in PARTS}
        return {"classes": sum(len(task.folders) for task in self.tasks), **found, "images": sum(found.values())}

    def paths(self) -> list[str]:
        """Every image once."""
        return list(dict.fromkeys(path for task in self.tasks for part in PARTS for path, _ in getattr(task, part)))

    def all_images(self, root: Path) -> bool:
        """True if there are as many classes and images as expected, however they are split."""
        if not self.tasks or self.item.source is None:
            return False
        expected, found = expected_counts(self.item.source, root), self.counts()
        total = (
            sum(expected[part] for part in PARTS) if PARTS[0] in expected else expected.get("images", found["images"])
        )
        return (expected.get("classes", found["classes"]), total) == (found["classes"], found["images"])

    @property
    def usable(self) -> bool:
        """True if everything that is expected is there and can be read; duplicates are part of the release."""
        return not self.problems and not self.unreadable


def is_fetched(source: type[Source], file: str) -> bool:
    """True if prepare.sh fetches the split file."""
    return any(download.to.endswith(file) for download in source.facts.downloads)


def expected_counts(source: type[Source], root: Path) -> dict[str, int]:
    """The published counts of a source: the split's sizes, or else the number of images, as far as known."""
    facts = source.facts
    used = source.find_split(root)
    classes = {"classes": facts.classes} if facts.classes else {}  # 0: not known
    # A split of someone's own divides the images otherwise.
    if facts.split is None or (used and not is_fetched(source, used.name)):
        images = sum(facts.split) if facts.split else facts.images
        return {**classes, **({"images": images} if images else {})}
    return {**classes, **dict(zip(PARTS, facts.split, strict=True))}


def index(item: Item, root: Path) -> Report:
    """Read an item's lists and compare them with what is known; no image is opened."""
    from common.errors import InputError

    report = Report(item)
    try:
        report.tasks = item.read()
    except InputError as error:
        report.problems.append(str(error))
        return report
    found = report.counts()
    if item.source:
        for what, number in expected_counts(item.source, root).items():
            if found[what] != number:
                report.problems.append(f"{found[what]:,} {label(what)} instead of {number:,}.")
        report.problems += look_for_split(item.source, root)
    for task in report.tasks:
        report.problems += empty_classes(task)
    return report


def label(what: str) -> str:
    return {"classes": "classes", "images": "images"}.get(what, f"{what} images")


def look_for_split(source: type[Source], root: Path) -> Iterator[str]:
    """A line if a source was read without its published split, which prepare.sh fetches."""
    folder = source.find_folder(root)
    wanted = [file for file in source.split_files if is_fetched(source, file)]
    if wanted and source.find_split(root) is None:
        yield (
            f"The published split {folder / wanted[0]} is missing, so images are split here and not as in the "
            f"literature; `bash scripts/datasets/prepare.sh {source.name()}` fetches it."
        )


def empty_classes(task: Any) -> Iterator[str]:
    """A line for each split that has images, but none of some classes."""
    for part in ("train", "test"):
        there = {index for _, index in getattr(task, part)}
        lacking = [name for index, name in enumerate(task.task.classnames) if index not in there]
        if there and lacking:
            yield f"No {part} images of {some(map(repr, lacking))} (task '{task.task.name}')."


# -- reading files --


def in_threads(function: Callable[[T], R], items: Iterable[T], title: str) -> Iterator[R]:
    """``function`` of every item, in order, in as many threads as there are cores, with a bar on a terminal."""
    from tqdm import tqdm

    items = list(items)
    with (
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        tqdm(total=len(items), desc=title, disable=not sys.stderr.isatty(), leave=False) as bar,
    ):
        rest = iter(items)
        while portion := list(islice(rest, 256)):
            yield from pool.map(function, portion)
            bar.update(len(portion))


def complaint(path: str) -> str | None:
    """Why an image cannot be read; None if it can."""
    from common.errors import InputError
    from datasets.images import read_image

    try:
        read_image(path)
    except InputError as error:
        return str(error)
    return None


def absence(path: str) -> str | None:
    """Why an image cannot be read, without decoding it: it is not there, is not a regular file, or is empty."""
    if not is_regular(path):
        return f"Image {path} is missing or is not a regular file; is the data set unpacked completely?"
    return None if os.path.getsize(path) else f"Image {path} is empty; replace or remove it."


def content_hash(path: str) -> bytes:
    """A hash of a file's content; of its path if it cannot be read, which `complaint` reports."""
    from common.files import read_bytes

    try:
        return hashlib.blake2b(read_bytes(path, 1 << 30)).digest()
    except OSError:
        return path.encode(errors="surrogateescape")


def duplicates(tasks: Sequence, what: str = "") -> Iterator[str]:
    """A line for every test image of a task that is also a training or validation image of the task."""
    for task in tasks:
        by_size: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for part in PARTS:
            for path in dict.fromkeys(path for path, _ in getattr(task, part)):
                if absence(path) is None:
                    by_size[os.path.getsize(path)].append((part, path))
        same_size = [
            pair for pairs in by_size.values() if len({part == "test" for part, _ in pairs}) == 2 for pair in pairs
        ]
        by_content: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
        hashes = in_threads(content_hash, [path for _, path in same_size], f"{what} hashing")
        for key, pair in zip(hashes, same_size, strict=True):
            by_content[key].append(pair)
        for pairs in by_content.values():
            trained = [(part, path) for part, path in pairs if part != "test"]
            for path in [path for part, path in pairs if part == "test"] if trained else []:
                yield f"{path} (test) is the same file as {trained[0][1]} ({trained[0][0]})."


def examine(item: Item, root: Path, fast: bool = False) -> list[Report]:
    """Everything that is checked of one item; ``fast`` opens no image to see whether it can be read.

    A source has one report, any other item one for each of its tasks.
    """
    report = index(item, root)
    if item.source is None and len(report.tasks) > 1:
        parts = [Item(task.task.name, partial(list, [task])) for task in report.tasks]
        return [one for part in parts for one in examine(part, root, fast)]
    if report.tasks:
        lines = in_threads(absence if fast else complaint, report.paths(), f"{item.name} reading")
        report.unreadable = [line for line in lines if line]
        report.duplicates = list(duplicates(report.tasks, item.name))
    return [report]


# -- printing --


def table(reports: Sequence[Report], root: Path) -> str:
    """A row for every item: classes and images by split, and beside them what they should be where they are not."""
    from reporting.tables import Table

    columns = ("classes", *PARTS, "images")
    rows = []
    for report in reports:
        expected = expected_counts(report.item.source, root) if report.item.source else {}
        found = report.counts() if report.tasks else {}
        cells = []
        for column in columns:
            cell = f"{found[column]:,}" if found else "-"
            if column in expected and found.get(column) != expected[column]:
                cell += f" of {expected[column]:,}"
            cells.append(cell)
        rows.append([report.item.name, *cells, verdict(report)])
    return Table(["", *columns, "verdict"], rows).text()


def verdict(report: Report) -> str:
    if not report.tasks:
        return "missing"
    return "ok" if report.usable and not report.duplicates else "see below"


def details(report: Report, everything: bool = False) -> list[str]:
    """The reasons for the verdict, line by line."""
    out = [f"{report.item.name}: {line}" for line in report.problems]
    for lines, one, many in (
        (report.unreadable, "image cannot be read", "images cannot be read"),
        (report.duplicates, "test image is a training or validation image too", "test images are training or "
         "validation images too"),
    ):  # fmt: skip
        if lines:
            shown = lines if everything else lines[:SHOWN]
            out.append(f"{report.item.name}: {len(lines):,} {one if len(lines) == 1 else many}:")
            out += [f"  {line}" for line in shown]
            out += [f"  ... and {len(lines) - len(shown):,} more; --all lists them"] if len(shown) < len(lines) else []
    return out


def print_reports(reports: Sequence[Report], root: Path, everything: bool = False) -> None:
    """Print the table, and what is wrong below it."""
    print(table(reports, root))
    lines = [line for report in reports for line in details(report, everything)]
    if lines:
        print("\n" + "\n".join(lines))


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments; 1 if something is not as expected."""
    parser = make_parser("check", __doc__ or "", ["dtd", "general10 --data ~/data", "plant6 --fast"])
    parser.add_argument("--fast", action="store_true", help="do not decode the images")
    parser.add_argument("--all", action="store_true", help="list every file with a problem")
    args = read_arguments(parser, argv, check)
    if isinstance(args, int):
        return args
    name, root, items = find_items(args.name, args.data, "check")
    print(f"{name}, looked up in {root}" + (" (no image was decoded)" if args.fast else ""), flush=True)
    reports = [report for item in items for report in examine(item, root, args.fast)]
    print_reports(reports, root, args.all)
    good = sum(report.usable and not report.duplicates for report in reports)
    print(f"\n{good} of {len(reports)} {'is' if good == 1 else 'are'} as expected.")
    return 0 if good == len(reports) else frame.FAILED
