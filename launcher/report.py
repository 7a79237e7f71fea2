"""Shows all runs of a collection: a table here, and everything on one HTML page that opens from disk."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.launch_methods import METHODS  # noqa: E402
from scripts.launch_words import OneLineParser, silence  # noqa: E402

from common.errors import InputError  # noqa: E402
from reporting.collection import Collection, read_collection  # noqa: E402
from reporting.comparison import several_shot_counts  # noqa: E402
from reporting.tables import LEGEND  # noqa: E402
from runs.results import RunError  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """The command line; 0, or 2 with one line when there is nothing to show or nowhere to write."""
    parser = OneLineParser(
        prog="bash scripts/report.sh",
        description=__doc__,
        epilog="example:\n  bash scripts/report.sh output/garden8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="where a collection's runs are, such as output/garden8")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page; default: report.html in the folder")
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="where the images are; default: where the runs had them"
    )
    told = "also write tables (Markdown, LaTeX, CSV) and figures (PNG, SVG) into this folder"
    parser.add_argument("--files", metavar="DIR", type=Path, help=told)
    try:
        given = parser.parse_args(argv)
        labels = {method: label for method, (_, _, label) in METHODS.items()}
        collection = read_collection(given.folder.expanduser(), labels)
        print(summary(collection))
        # Only now, since both are slow to import and a wrong folder should be told at once.
        from reporting.files import write_files
        from reporting.page import write_page

        print(f"\nPage: {write_page(given.folder.expanduser(), given.out, given.data, labels)}")
        if given.files is not None:
            print(f"Files: {len(write_files(collection, given.files))} in {given.files}")
        sys.stdout.flush()  # here, where a reader that has gone away is noticed quietly
    except (InputError, RunError) as error:
        print(" ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except BrokenPipeError:
        silence()
        return 141
    except OSError as error:
        print(f"{error.filename}: {error.strerror}; name another place, or make that one usable.", file=sys.stderr)
        return 2
    return 0


def summary(collection: Collection) -> str:
    """The means of the largest group of comparable runs, and what is missing, for a terminal."""
    lines = [f"{collection.name}: {len(collection.runs)} finished runs, {len(collection.unfinished)} without results"]
    for one in collection.unfinished:
        lines.append(f"  {one.folder.relative_to(collection.folder)}: {one.reason}")
    if collection.groups:
        group = collection.groups[0]
        rows = [(row.label, [group.series(row, shots) for shots in group.shots]) for row in group.rows]
        bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        lines += ["", several_shot_counts(rows, group.shots, bold), "", LEGEND]
    return "\n".join(lines)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without ± must not end it
            stream.reconfigure(errors="replace")
    sys.exit(main())
