"""Shows all runs of a collection: a table here, and everything on one HTML page that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import DiskFull, InputError, of_system
from common.text import counted, one_line
from launcher import arguments, frame
from launcher.commands import ANSWERED
from launcher.summaries import bold
from reporting.collection import Collection, read_collection
from reporting.comparison import several_shot_counts
from reporting.tables import LEGEND

SCRIPT = "scripts/report.sh"


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments."""
    parser = frame.parser(f"bash {SCRIPT}", __doc__, [f"bash {SCRIPT} output/garden8"])
    parser.add_argument("folder", type=frame.path, help="where a collection's runs are, such as output/garden8")
    parser.add_argument("--out", metavar="FILE", type=frame.path, help="the page; default: report.html in the folder")
    arguments.add_data_of_runs(parser)
    parser.add_argument(
        "--files",
        metavar="DIR",
        type=frame.path,
        help="also write tables (Markdown, LaTeX, CSV) and figures (PNG, SVG) into this folder",
    )
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_args(argv)
    collection = read_collection(args.folder)
    if check:
        return 0
    print(summary(collection))
    try:
        from reporting.files import write_files  # slow to import, so after the folder was checked
        from reporting.page import write_page
    except ModuleNotFoundError as error:
        raise frame.not_installed(error, SCRIPT) from error

    try:
        print(f"\nPage: {write_page(args.folder, args.out, args.data)}")
        if args.files is not None:
            print(f"Files: {len(write_files(collection, args.files))} in {args.files}")
    except BrokenPipeError:
        raise
    except OSError as error:
        found = of_system(error, args.files or args.out or args.folder)
        if isinstance(found, DiskFull):
            raise found from None
        raise InputError(f"{str(found).rstrip('.')}; name another place, or make it usable.") from error
    return 0


def summary(collection: Collection) -> str:
    """The means of the largest group of comparable runs, and what is missing, for a terminal."""
    finished = counted(len(collection.runs), "finished run")
    running = sum(one.running for one in collection.unfinished)
    lines = [f"{one_line(collection.name)}: {finished}, {len(collection.unfinished) - running} without results"]
    lines[0] += f", {running} running" * (running > 0)
    for one in collection.unfinished:
        lines.append(f"  {one_line(one.folder.relative_to(collection.folder))}: {one_line(one.reason)}")
    if collection.groups:
        group = collection.groups[0]
        rows = [(row.label, [group.series(row, shots) for shots in group.shots]) for row in group.rows]
        lines += ["", several_shot_counts(rows, group.shots, bold()), "", LEGEND]
    return "\n".join(lines)
