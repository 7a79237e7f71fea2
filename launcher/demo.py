"""Starts a web page that classifies photographs with what was trained."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from common.errors import InputError
from common.text import one_line
from launcher import arguments, frame, predict, trained
from launcher.commands import ANSWERED, NEEDS_PAGE, NEEDS_PAGE_AND_OPENCLIP
from launcher.trained import Trained
from runs.results import read_run

if TYPE_CHECKING:
    from page.desk import Desk

SCRIPT = "scripts/demo.sh"
USAGE = f"bash {SCRIPT} garden8 4"
EXAMPLES = (
    USAGE,
    f"bash {SCRIPT} garden8 4 --method coop --top 5 --min-confidence 0.6",
    f"bash {SCRIPT} my_classifier --port 8000",
)
WORDS = "<dataset> <shots>, or folders of runs or classifiers"
LOCAL = "127.0.0.1"
TOP = "3"
MOST_PORT = 65535
# What the page says in the place of the nearest training photographs.
NOT_AT_HAND = "The training photographs are not at hand, so the nearest ones are not shown."
LEARNED_FROM_NONE = "This method learned from no photographs, so there are no nearest ones to show."


class Options(NamedTuple):
    """How the page answers, and where it is."""

    top: int
    least: float  # probability of the best class, below which the answer is "not sure"
    host: str
    port: int | None
    data: Path | None


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments."""
    parser = make_parser()
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_intermixed_args(arguments.before_dashes(argv))
    options = read_options(args)
    found, rest = trained.asked(args, argv, USAGE)
    if rest:
        raise InputError(f"'{rest[0]}' is one word too many; photographs are chosen on the page itself.")
    if check:
        return NEEDS_PAGE_AND_OPENCLIP if found.needs_openclip else NEEDS_PAGE
    return frame.once(lambda: show(found, options), SCRIPT)


def make_parser() -> frame.OneLineParser:
    """The command's parser."""
    parser = frame.parser(f"bash {SCRIPT}", __doc__, EXAMPLES)
    parser.add_argument("words", nargs="*", metavar="run", help=WORDS)
    parser.add_argument("--top", metavar="K", default=TOP, help=f"the K most probable classes; default: {TOP}")
    arguments.add_min_confidence(parser)
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default=LOCAL,
        help=f"where the page listens; default: {LOCAL}, so only this computer reaches it",
    )
    parser.add_argument("--port", metavar="N", help="default: 7860, or a free one if that is taken")
    arguments.add_data_of_runs(parser)
    trained.add_wish(parser)
    return parser


def read_options(args: argparse.Namespace) -> Options:
    """Check the options."""
    top = arguments.whole_number(args.top, "--top", 1, TOP) or 1
    port = arguments.whole_number(args.port, "--port", 1, "7860")
    if port is not None and port > MOST_PORT:
        raise InputError(f"--port must be at most {MOST_PORT}, and not '{args.port}'.")
    data = None if args.data is None else arguments.usable_folder(args.data, "--data")
    return Options(top, arguments.probability(args.min_confidence, "--min-confidence"), args.host, port, data)


def show(found: Trained, options: Options) -> int:
    """Show the page until Ctrl-C."""
    import gradio  # noqa: F401  before the seconds that loading takes

    from page import server

    listener = server.listening(options.host, options.port)
    with listener:
        desk = desk_of(found, options)
        print(one_line(found.about), file=sys.stderr, flush=True)
        if not server.is_local(listener):
            print(f"Everybody who reaches {options.host} on this computer can use the page.", file=sys.stderr)
        address = server.address_of(listener)
        server.serve(desk, listener, lambda: print(f"{address}  (Ctrl-C ends it)", flush=True))
    print("\nThe page is closed.", file=sys.stderr)
    return 0


def desk_of(found: Trained, options: Options) -> Desk:
    """The classifier, with the photographs of its runs where they are still there."""
    from page.desk import Desk

    try:
        train, test = trained.photographs_of(found, options.data)
        first = found.folders[0]
        if not trained.learns(read_run(first, trained.results_in(first))):
            train = []
        without = LEARNED_FROM_NONE
    except InputError as error:
        print(f"Without examples and nearest photographs: {one_line(error)}.", file=sys.stderr)
        train, test, without = [], [], NOT_AT_HAND
    return Desk(predict.load(found), found.name, train, test, options.top, options.least, without)
