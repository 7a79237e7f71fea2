"""Writes what was trained into a folder that classifies without this repository."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError
from common.notices import notice
from common.text import one_line
from launcher import arguments, frame, trained
from launcher.commands import ANSWERED, NEEDS_EXPORT, NEEDS_EXPORT_AND_OPENCLIP
from launcher.trained import Trained

if TYPE_CHECKING:
    from classifier import Classifier
    from classifier.export import Pictures

SCRIPT = "scripts/export.sh"
USAGE = f"bash {SCRIPT} garden8 4 --to my_classifier"
EXAMPLES = (
    USAGE,
    f"{USAGE} --fp16 --int8",
    f"bash {SCRIPT} garden8 4 --method coop --seeds 1 --to coop_classifier",
    f"bash {SCRIPT} output/garden8/SoftCPT-NATA/garden_vit_ep50/4shots/seed1 --to my_classifier",
)
FORMATS = ("fp16", "int8")


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments."""
    parser = make_parser()
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_intermixed_args(arguments.before_dashes(argv))
    folder = target(args.to)
    found, rest = trained.asked(args, argv, USAGE)
    if rest:
        raise InputError(f"'{rest[0]}' is one word too many; for example: {USAGE}")
    data = None if args.data is None else arguments.usable_folder(args.data, "--data")
    if check:
        return NEEDS_EXPORT_AND_OPENCLIP if found.needs_openclip else NEEDS_EXPORT
    formats = [name for name in FORMATS if getattr(args, name)]
    return frame.once(lambda: export(found, folder, formats, data, args.test), SCRIPT)


def make_parser() -> frame.OneLineParser:
    """The command's parser."""
    parser = frame.parser(f"bash {SCRIPT}", __doc__, EXAMPLES)
    parser.add_argument("words", nargs="*", metavar="run", help="<dataset> <shots>, or folders of runs or classifiers")
    parser.add_argument("--to", metavar="DIR", help="the folder to write; an earlier export there is replaced")
    parser.add_argument("--fp16", action="store_true", help="also a model with weights in 16 bits")
    parser.add_argument("--int8", action="store_true", help="also a model with weights in 8 bits")
    arguments.add_data_of_runs(parser)
    parser.add_argument(
        "--no-test", dest="test", action="store_false", help="do not test the models on the test images"
    )
    trained.add_wish(parser)
    return parser


def target(text: str | None) -> Path:
    """The folder to write; InputError if it cannot be written, or surely is something else."""
    if not text:
        raise InputError(f"Where to? --to names the folder to write; for example: {USAGE}")
    folder = Path(os.path.abspath(arguments.usable_folder(text, "--to")))
    if not os.access(next(p for p in folder.parents if p.exists()), os.W_OK | os.X_OK):
        raise InputError(f"--to {text}: {folder.parent} is not writable; give another folder.")
    return folder


def export(found: Trained, folder: Path, formats: Sequence[str], data: Path | None, test: bool) -> int:
    """Write the export, and say what it holds."""
    from classifier import Classifier
    from classifier.export import check_target
    from classifier.export import export as write

    check_target(folder)
    print(one_line(found.about), flush=True)
    classifier = Classifier.load(*found.folders)
    pictures = pictures_of(found, classifier, data)
    made = write(classifier, folder, pictures, formats, lambda text: print(text, flush=True), test)
    for name, about in made.models.items():
        known = [value for value in about.get("accuracies", ()) if value is not None]
        accuracy = f"  {sum(known) / len(known):5.1f} %" if known else ""
        print(f"{name:22}  {about['bytes'] / 1e6:8.1f} MB{accuracy}  {about['recipe']}")
    for note in made.notes:
        print(note)
    check = made.checked
    print(f"Probabilities differ from PyTorch's by at most {check['largest difference']:.1g} on {check['source']}.")
    print(f"{folder}: its README.md says how to use it.")
    return 0


def pictures_of(found: Trained, classifier: Classifier, data: Path | None) -> Pictures | None:
    """The pictures of the runs, None without them."""
    from classifier.export import Pictures

    try:
        photographs = trained.photographs_of(found, data)
    except InputError as error:
        notice(f"Nothing is measured on test images: {one_line(error)}.")
        return None
    layout = classifier.layout
    number = {
        (task.name, name): layout.offsets[t] + c
        for t, task in enumerate(layout.tasks)
        for c, name in enumerate(task.classnames)
    }
    labels = [(one.path, number.get((one.task, one.classname))) for one in photographs.test]
    test = [(path, label) for path, label in labels if label is not None]  # of tasks and classes that are still there
    return Pictures(test, [one.path for one in photographs.train])
