"""Draws contact sheets: PNG files that show images of every class of a data set, one file or more for each task."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import InputError
from common.paths import OUTPUT
from launcher import frame
from launcher.data.items import find_items, make_parser, read_arguments


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments; 1 if something could not be read."""
    parser = make_parser("show", __doc__ or "", ["garden8", "general10 --data ~/data --output sheets"])
    parser.add_argument("--output", metavar="DIR", help="where sheets go; default: output/show/<name>")
    args = read_arguments(parser, argv, check)
    if isinstance(args, int):
        return args
    name, _, items = find_items(args.name, args.data, "show")
    folder = frame.path(args.output) if args.output else OUTPUT / "show" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another with --output.") from None
    from launcher.data.sheets import draw_all

    return frame.FAILED if draw_all(name, items, folder) else 0
