"""Fetches, checks and unpacks what has a public address, and says for the rest how to get it and where it belongs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent))

from check import Report, examine, index, tell  # noqa: E402
from fetch import FetchError, check_space, downloads_folder, fetch, file_name, in_bytes, is_done, kept_bytes  # noqa: E402
from names import Item, find_items, make_parser, run  # noqa: E402


def in_place(download, source: type, root: Path):
    """The download, put where the source's folder is when it is not at the first of the places looked at."""
    first, *others = source.folders
    there = next((folder for folder in others if (root / folder).is_dir()), None)
    if there is None or (root / first).is_dir() or not f"{download.to}/".startswith(f"{first}/"):
        return download
    return replace(download, to=f"{there}{download.to[len(first) :]}")


def archives_wanted(report: Report, downloads: Sequence, root: Path) -> list:
    """The archives that are still to be unpacked: none when all images are there, whoever put them there."""
    archives = [download for download in downloads if download.unpack]
    if report.all_images(root):
        return []
    missing = [download for download in archives if not is_done(download, root, report.item.name)]
    # Unpacked once, and yet something is missing: unpack anew, but fetch anew only what is of no use as it is.
    kept = downloads_folder(root, report.item.name)
    return missing or [d for d in archives if not report.tasks or (kept / file_name(d)).is_file()]


def prepare(item: Item, root: Path, quiet: bool) -> list[str]:
    """Get one source as far as possible; returns a line for every download that failed."""
    facts, failed = item.source.facts, []
    downloads = [in_place(download, item.source, root) for download in facts.downloads]

    def get(some: Sequence) -> None:
        for download in some:
            print(f"{item.name}: {download.url} -> {root / download.to} ...", flush=True)
            try:
                fetch(download, root, item.name, quiet)
            except FetchError as error:  # one that fails must not cost the others
                failed.append(f"{item.name}: {error}")

    # Small files first: with them, what is there already may turn out to be complete.
    files = [d for d in downloads if not d.unpack and not is_done(d, root, item.name)]
    get(files)
    archives = archives_wanted(index(item, root), downloads, root)
    if archives:
        try:
            # Twice, for archives and what comes out of them.
            check_space(2 * in_bytes(facts.size) - kept_bytes(downloads_folder(root, item.name)), root)
        except FetchError as error:
            return [*failed, f"{item.name}: {error}"]
        get(archives)
    if not files and not archives and index(item, root).usable:
        print(f"{item.name}: all there, nothing to fetch.", flush=True)
    elif (facts.steps or not downloads) and not index(item, root).usable:
        print(by_hand(item, root), flush=True)
    return failed


def by_hand(item: Item, root: Path) -> str:
    """What a person has to do to get a source."""
    facts = item.source.facts
    steps = facts.steps or (f"Get it from {facts.home}.",)
    lines = [f"{item.name} has to be fetched by hand (terms: {facts.licence}; {facts.size}):"]
    lines += [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    places = " or ".join(str(root / folder) for folder in item.source.folders)
    return "\n".join([*lines, f"  Its folder is then {places}."])


def main(argv: list[str]) -> int:
    parser = make_parser("prepare", __doc__, ["dtd", "general10 --data ~/data"])
    parser.add_argument("--fast", action="store_true", help="do not decode the images afterwards")
    given = parser.parse_args(argv)
    _, root, items = find_items(given.name, given.data)
    failed = []
    for item in items:
        if item.source:
            failed += prepare(item, root, quiet=not sys.stderr.isatty())
        else:
            print(f"{item.name}: no download belongs to it.", flush=True)
    print(f"\nChecking {root}" + (" ..." if not given.fast else " (no image is decoded) ..."), flush=True)
    reports = [report for item in items for report in examine(item, root, given.fast)]
    for report in reports:
        if report.item.source and not any((root / folder).is_dir() for folder in report.item.source.folders):
            report.problems = ["Not there; above is how to get it, and below what failed."]
    tell(reports, root)
    if kept := kept_bytes(root / ".downloads"):
        print(f"\n{root / '.downloads'} holds {kept / 1e6:,.0f} MB of archives; once unpacked, they are not needed.")
    for line in failed:
        print(line, file=sys.stderr)
    lacking = [report.item.name for report in reports if not report.usable]
    if lacking:
        print(f"Not complete: {', '.join(lacking)}.", file=sys.stderr)
    return 1 if failed or lacking else 0


if __name__ == "__main__":
    sys.exit(run(main, None))
