"""Fetches, checks and unpacks data that has a public address; for the rest, says how to get it and where to put it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher import frame
from launcher.data.check import Report, examine, index, print_reports
from launcher.data.fetch import (
    FetchError,
    changed,
    check_space,
    downloads_folder,
    fetch,
    file_name,
    in_bytes,
    is_done,
    kept_bytes,
    tidy,
)
from launcher.data.items import Item, find_items, make_parser, read_arguments

if TYPE_CHECKING:  # it imports dassl
    from datasets.source import Source


def in_place(download: Any, source: Any, root: Path) -> Any:
    """The download, moved to where the source's folder is, if that is not the first of its possible places."""
    first, there = source.folders[0], next(iter(source.find_folders(root)), None)
    if there is None or (root / first).is_dir() or not f"{download.to}/".startswith(f"{first}/"):
        return download
    return replace(download, to=f"{there.relative_to(root).as_posix()}{download.to[len(first) :]}")


def archives_wanted(report: Report, downloads: Sequence, root: Path) -> list[Any]:
    """The archives that are still to be unpacked: none if all images are there, whoever put them there."""
    archives = [download for download in downloads if download.unpack]
    if report.all_images(root):
        return []
    missing = [download for download in archives if not is_done(download, root, report.item.name)]
    # Unpacked once, and yet something is missing: unpack again, and fetch again only what cannot be used.
    kept = downloads_folder(root, report.item.name)
    return missing or [d for d in archives if not report.tasks or (kept / file_name(d)).is_file()]


def prepare(item: Item, source: type[Source], root: Path, quiet: bool) -> list[str]:
    """Get one source as far as possible; returns a line for every download that failed."""
    facts = source.facts
    failed: list[str] = []
    downloads = [in_place(download, source, root) for download in facts.downloads]
    size = in_bytes(facts.size)
    tidy(downloads, root, item.name)
    lines = [changed(download, root, item.name) for download in downloads]
    failed += [f"{item.name}: {line}" for line in lines if line]

    def get(some: Sequence) -> None:
        for download in some:
            print(f"{item.name}: {download.url} -> {root / download.to} ...", flush=True)
            try:
                fetch(download, root, item.name, quiet, size)
            except FetchError as error:  # one that fails must not cost the others
                failed.append(f"{item.name}: {error}")

    # Small files first: with them, the data on disk may turn out to be complete.
    files = [d for d in downloads if not d.unpack and not is_done(d, root, item.name)]
    get(files)
    archives = archives_wanted(index(item, root), downloads, root)
    if archives:
        try:
            # Twice, for archives and what comes out of them.
            check_space(2 * size - kept_bytes(downloads_folder(root, item.name)), root)
        except FetchError as error:
            return [*failed, f"{item.name}: {error}"]
        get(archives)
    if not files and not archives and index(item, root).usable:
        print(f"{item.name}: all there, nothing to fetch.", flush=True)
    elif (facts.steps or not downloads) and not index(item, root).usable:
        print(by_hand(source, root), flush=True)
    return failed


def by_hand(source: type[Source], root: Path) -> str:
    """The steps by which a person gets a source."""
    facts = source.facts
    steps = facts.steps or (f"Get it from {facts.home}.",)
    lines = [f"{source.name()} has to be fetched by hand (terms: {facts.licence}; {facts.size}):"]
    lines += [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    places = " or ".join(str(root / folder) for folder in source.folders)
    return "\n".join([*lines, f"  Its folder is then {places}."])


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments; 1 if something is not complete."""
    parser = make_parser("prepare", __doc__ or "", ["dtd", "general10 --data ~/data"])
    parser.add_argument("--fast", action="store_true", help="do not decode the images afterwards")
    args = read_arguments(parser, argv, check)
    if isinstance(args, int):
        return args
    _, root, items = find_items(args.name, args.data, "prepare")
    failed = []
    for item in items:
        if item.source:
            failed += prepare(item, item.source, root, quiet=not sys.stderr.isatty())
        else:
            print(f"{item.name}: it has no download.", flush=True)
    print(f"\nChecking {root}" + (" ..." if not args.fast else " (no image is decoded) ..."), flush=True)
    reports = [report for item in items for report in examine(item, root, args.fast)]
    for report in reports:
        if report.item.source and not report.item.source.find_folders(root):
            report.problems = ["Not there; how to get it is above, and what failed is below."]
    print_reports(reports, root)
    if kept := kept_bytes(root / ".downloads"):
        print(f"\n{root / '.downloads'} holds {kept / 1e6:,.0f} MB of archives; once unpacked, they are not needed.")
    for line in failed:
        print(line, file=sys.stderr)
    lacking = [report.item.name for report in reports if not report.usable]
    if lacking:
        print(f"Not complete: {', '.join(lacking)}.", file=sys.stderr)
    return frame.FAILED if failed or lacking else 0
