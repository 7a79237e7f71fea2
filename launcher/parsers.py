"""The parsers of commands with runs: their flags, and their help with a method's keys. Standard library only."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from common import catalogue, plugins
from common.catalogue import METHODS, Method
from common.files import read_text
from common.knobs import RESIDUAL_C, Knob, read_knobs
from common.paths import REPOSITORY
from launcher import arguments, frame, starts
from reporting.measures import ACCURACY, MEASURES

COMPARE_EXAMPLES = (
    "garden8 4",
    "garden8 1,2,4,8,16",
    "plants7 4 --data ~/data",
    "garden8 4 --methods all",
    "garden8 1,4 --methods PLOT,CoOp-CA --against SoftCPT-NATA",
)


def run_parser(program: str, about: str, examples: Sequence[str], script: str = "") -> frame.OneLineParser:
    """A parser without arguments, whose help says what all commands with runs have in common.

    ``script``: what examples start with, if it is not the program.
    """
    about = textwrap.fill(f"{about} Finished runs are reported and skipped, interrupted ones are resumed.", 100)
    keys = "Arguments after -- set configuration keys: -- KEY VALUE [KEY VALUE ...]\n\n"
    return frame.parser(f"bash {program}", about, [f"bash {script or program} {example}" for example in examples], keys)


def method_parser(command: str, program: str = "", choice: bool = True) -> frame.OneLineParser:
    """The parser of a method's command; ``choice``: with the flag that chooses among several methods."""
    first, flag = catalogue.methods_of(command)[0], catalogue.CHOICES.get(command)
    examples = [example for example in first.examples if choice or flag is None or flag.flag not in example]
    parser = run_parser(program or first.script, first.about, examples)
    add_arguments(parser, first.learns)
    add_show(parser)
    if first.learns:
        starts.add_argument(parser)
    add_residual(parser, command)
    if choice:
        add_choice(parser, command)
    assert parser.epilog is not None
    parser.epilog = keys_of(first) + parser.epilog
    return parser


def add_choice(parser: frame.OneLineParser, command: str) -> None:
    """The flag that chooses among the methods of a command, if it has several."""
    flag = catalogue.CHOICES.get(command)
    if flag is not None:
        name, default = flag.flag.strip("-").upper(), catalogue.methods_of(command)[0].choice
        parser.add_argument(flag.flag, metavar=name, default=default, help=flag.help, dest="choice")


def add_residual(parser: frame.OneLineParser, command: str) -> None:
    """The flag --residual, if the methods of a command can carry one."""
    if any(method.residual for method in catalogue.methods_of(command)):
        parser.add_argument(
            "--residual", action="store_true", help="add a residual of the images to the prompts' class features"
        )


def add_show(parser: frame.OneLineParser) -> None:
    """The flag that chooses what the table shows."""
    parser.add_argument(
        "--show",
        metavar="FIGURE",
        default=ACCURACY.name,
        help=f"what the table shows: {', '.join(MEASURES)}; default: {ACCURACY.name}",
    )


def knobs_of(method: Method) -> tuple[str, list[Knob]]:
    """The section and the knobs of a method, ("", []) if its file declares none, or not as literals."""
    files = [*sorted((REPOSITORY / "trainers").glob("*.py")), *plugins.paths()]
    file = next((file for file in files if defines(file, method.trainer)), None)
    try:
        return read_knobs(file, method.trainer) if file else ("", [])
    except (KeyError, TypeError, ValueError, SyntaxError, OSError):  # a plug-in's that are not literals
        return "", []


def keys_of(method: Method) -> str:
    """The keys of a method for its help: name, default, range and a line each; empty if its file declares none."""
    section, knobs = knobs_of(method)
    chosen = {key for key, _ in method.keys}
    keys = {f"TRAINER.{section}.{knob.name}": knob for knob in knobs}
    if method.residual or catalogue.RESIDUAL in method.keys:
        keys[RESIDUAL_C.name] = RESIDUAL_C
    lines = []
    for key, knob in keys.items():
        if key not in chosen:
            limits = f"  ({knob.range})" if knob.range else ""
            lines.append(f"  {key} {knob.default!r}{limits}")
            lines += textwrap.wrap(knob.help, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(["keys, with their defaults:", *lines, "", ""]) if lines else ""


def defines(file: Path, trainer: str) -> bool:
    """True if a Python file defines a class of that name."""
    try:
        return re.search(rf"^class {trainer}\b", read_text(file), re.M) is not None
    except (OSError, ValueError):
        return False


def compare_parser() -> frame.OneLineParser:
    """The parser of a comparison."""
    default = ",".join(method.name for method in METHODS.values() if method.compared)
    parser = run_parser(
        "scripts/compare.sh",
        "Compares zero-shot CLIP, CoOp per task and shared, SoftCPT or other methods in one table.",
        COMPARE_EXAMPLES,
    )
    add_arguments(parser, learns=True, several=True)
    add_show(parser)
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        help=f"all, or names separated by commas, of {', '.join(METHODS)}; default: {default}",
    )
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="a method; prints the difference of every other method to it, task by task, with intervals",
    )
    return parser


def add_arguments(parser: frame.OneLineParser, learns: bool, several: bool = False, seeds: str = "1,2,3") -> None:
    """Dataset, shots, seeds and places; ``several``: more than one number of shots; ``seeds``: the default."""
    parser.add_argument("dataset", nargs="?", help="a name in configs/datasets or configs/collections, or a .yaml file")
    if learns:
        more = ", or several: 1,2,4,8,16" if several else ""
        parser.add_argument("shots", nargs="?", help="training images per class" + more)
        parser.add_argument("--seeds", default=seeds, help=f"default: {seeds}")
    else:
        parser.add_argument("shots", nargs="?", help="ignored")
        parser.add_argument("--seeds", help="ignored")
    arguments.add_places(parser)
