"""Classifies photographs with what was trained: each photograph gets a class from every task."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from common.errors import InputError, unknown
from common.text import counted, one_line
from launcher import answers, arguments, frame, photographs, questions, trained
from launcher.answers import Answer, Blocks, Table, Writer
from launcher.commands import ANSWERED, NEEDS_OPENCLIP
from launcher.photographs import Found
from launcher.questions import Question
from launcher.trained import Trained

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier import Classifier, Predictions, TaskPredictions
    from prompting.tasks import Task

SCRIPT = "scripts/predict.sh"
USAGE = f"bash {SCRIPT} garden8 4 photos/"
EXAMPLES = (
    USAGE,
    f"bash {SCRIPT} garden8 4 photos/ --method coop --task 'leaf shape' --top 3",
    f"bash {SCRIPT} output/garden8/SoftCPT-NATA/garden_vit_ep50/4shots/seed1 a.jpg b.jpg --csv answers.csv",
    f"find . -name '*.jpg' | bash {SCRIPT} garden8 4 - --json",
    f"bash {SCRIPT} garden8 4 photos/ --task weather --min-confidence 0.6 --copy-to sorted",
    f"bash {SCRIPT} garden8 4 photos/ --task 'soil type' --classes 'sand,clay,loam'",
)
WORDS = "<dataset> <shots> <photographs>, or <run's folder> <photographs>; photographs: files, folders, patterns, or -"
PROGRESS_ABOVE = 50  # photographs
FIRST, EVERY = 5.0, 20.0  # seconds until the first plain line of progress, and between lines
TERMINAL_EVERY = 0.2  # seconds between updates of a line on a terminal


class Options(NamedTuple):
    """What is asked of each photograph, and where the answers go."""

    top: int
    tasks: tuple[str, ...]
    least: float  # probability of the best class, below which the answer is "not sure"
    question: Question | None
    csv: Path | None
    json: bool
    copy_to: Path | None
    per_task: bool  # each task has a table, or a CSV file, of its own


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments."""
    parser = make_parser()
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_intermixed_args(arguments.before_dashes(argv))
    options = read_options(args)
    found, words = trained.asked(args, argv, USAGE)
    photographs.check(words)
    if check:
        return NEEDS_OPENCLIP if found.needs_openclip else 0
    return frame.once(lambda: predict(found, photographs.collect(words, options.copy_to), options), SCRIPT)


def make_parser() -> frame.OneLineParser:
    """The command's parser."""
    parser = frame.parser(f"bash {SCRIPT}", __doc__, EXAMPLES)
    parser.add_argument("words", nargs="*", metavar="run and photographs", help=WORDS)
    parser.add_argument("--task", metavar="NAME", action="append", default=[], help="only this task; may be repeated")
    questions.add_question(parser)
    parser.add_argument("--top", metavar="K", default="1", help="the K most probable classes; default: 1")
    arguments.add_min_confidence(parser)
    parser.add_argument("--per-task", action="store_true", help="each task has a table, or a CSV file, of its own")
    parser.add_argument("--csv", metavar="FILE", type=frame.path, help="write a CSV file instead of the table")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each photograph, one on each line")
    parser.add_argument(
        "--copy-to", metavar="DIR", type=frame.path, help="also copy photographs into DIR/<class>; needs a single task"
    )
    trained.add_wish(parser)
    return parser


def read_options(args: argparse.Namespace) -> Options:
    """Check the options; nothing is written."""
    top = arguments.whole_number(args.top, "--top", 1, "3") or 1
    least = arguments.probability(args.min_confidence, "--min-confidence")
    question = questions.read_question(args)
    copy_to = None if args.copy_to is None else arguments.usable_folder(args.copy_to, "--copy-to")
    if args.csv is not None:
        check_csv(args.csv)
    if args.per_task and args.json:
        raise InputError("--per-task is for tables and CSV files; --json keeps the tasks apart anyway.")
    return Options(top, tuple(args.task), least, question, args.csv, args.json, copy_to, args.per_task)


def check_csv(path: Path) -> None:
    """InputError if a CSV file cannot be written, or would take the place of something else."""
    folder = path.parent
    if not os.path.isdir(folder):
        raise InputError(f"--csv {path}: there is no folder {folder}; create it, or give another file.")
    if os.path.lexists(path) and not (os.path.isfile(path) and path.suffix.lower() == ".csv"):
        raise InputError(f"--csv {path} is there already and is not a CSV file; give another file.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--csv {path}: {folder} is not writable; give another file.")


# -- the work --


def opened(path: str) -> Image:
    """A photograph as an upright RGB image; InputError if it cannot be read."""
    from prompting.photographs import read_image

    try:
        return read_image(path)
    except InputError as error:
        if os.path.splitext(path)[1].lower() in photographs.HEIC - set(known_suffixes()):
            raise InputError(f"{error} {photographs.NEEDS_HEIC}.") from None
        raise


def known_suffixes() -> tuple[str, ...]:
    """The suffixes of images. Pillow reads HEIC only after this was called, if pillow-heif is installed."""
    from prompting.image_files import image_suffixes

    return image_suffixes()


def load(found: Trained) -> Classifier:
    """The classifier, on a GPU if there is one."""
    import torch

    from classifier import Classifier

    return Classifier.load(*found.folders, device="cuda" if torch.cuda.is_available() else "cpu")


def predict(found: Trained, photos: Found, options: Options) -> int:
    """Classify photographs, and return the exit status: 1 if some cannot be read."""
    if left_out := photos.left_out():
        print(f"Skipped in folders: {left_out}.", file=sys.stderr)
    classifier = load(found)
    tasks = chosen(classifier.tasks, options.tasks) if options.question is None else asked(classifier, options.question)
    if options.copy_to is not None and len(tasks) > 1:
        names = ", ".join(one_line(task.name) for task in tasks)
        raise InputError(f"--copy-to sorts by one task; choose it with --task. Tasks: {names}.")
    paths = csv_paths(tasks, options)
    print(f"{one_line(found.about)}: {counted(len(photos.paths), 'photograph')}", file=sys.stderr, flush=True)
    failures = list(photos.failures)
    with ExitStack() as stack:
        files = [stack.enter_context(answers.csv_file(path)) for path in paths]
        copies = answers.Copies(options.copy_to, tasks[0].classnames) if options.copy_to is not None else None
        writers: list[Writer] = [copies] if copies is not None else []
        if files:
            writers.append(answers.CsvApart(files) if options.per_task else files[0])
        if options.json:
            writers.append(answers.Json(sys.stdout))
        elif not files and options.per_task:
            tables = [(task.name, table_of([task], photos, options)) for task in tasks]
            writers.append(stack.enter_context(answers.Apart(sys.stdout, tables)))
        elif not files:
            table = table_of(tasks, photos, options)
            table.begin()
            writers.append(table)
        progress = stack.enter_context(Progress(len(photos.paths), quiet=shows_rows(options)))
        for path, result in classified(classifier, list(photos.paths), tasks):
            if isinstance(result, InputError):
                failures.append((path, one_line(result)))
            for writer in writers:
                if isinstance(result, InputError):
                    writer.failed(path, one_line(result))
                else:
                    writer.answered(path, [answer_of(one, options) for one in result.per_task])
            progress.step()
    sys.stdout.flush()
    for written, file in zip(paths, files, strict=True):
        print(f"{written}: {counted(file.lines, 'line')}", file=sys.stderr)
    if copies is not None:
        print(copies.summary(), file=sys.stderr)
    return closing(failures, len(photos.paths))


def classified(
    classifier: Classifier, paths: Sequence[str], tasks: Sequence[Task]
) -> Iterator[tuple[str, Predictions | InputError]]:
    """The predictions of ``tasks`` for each photograph, or why it cannot be read, in the order of ``paths``."""
    known_suffixes()
    refused: dict[str, InputError] = {}
    following = iter(paths)
    numbers = [classifier.tasks.index(task) for task in tasks]
    for path, predictions in classifier.stream(paths, opened, numbers, refused.__setitem__):
        # Those of a batch are refused before the others of the batch are answered.
        while (earlier := next(following)) != path:
            yield earlier, refused.pop(earlier)
        yield path, predictions
    for path in following:
        yield path, refused.pop(path)


def asked(classifier: Classifier, question: Question) -> list[Task]:
    """The task of a question, which the classifier can answer now."""
    known = [task.name for task in classifier.tasks if plain(task.name) == plain(question.task)]
    name = question.task if question.task in known else (known or [question.task])[0]
    classifier.add_task(name, question.classes, question.template)
    if remark := classifier.remark(name):
        print(one_line(remark), file=sys.stderr, flush=True)
    return [task for task in classifier.tasks if task.name == name][:1]


def chosen(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    """The tasks of these names, all without names; InputError with the known names for another one."""
    found = []
    for name in dict.fromkeys(names):
        same = [task for task in tasks if task.name == name]
        same = same or [task for task in tasks if plain(task.name) == plain(name)]
        if not same:
            raise unknown("Task", name, [task.name for task in tasks])
        found += [task for task in same if task not in found]
    return found or list(tasks)


def plain(name: str) -> str:
    """A name as people may type it: case and underscores are ignored."""
    return " ".join(name.replace("_", " ").split()).casefold()


def answer_of(predictions: TaskPredictions, options: Options) -> Answer:
    """The answer to one task of one image."""
    (ranked,) = predictions.classes(min(options.top, len(predictions.task.classnames)))
    return Answer(predictions.task.name, ranked, ranked[0][1] >= options.least)


def table_of(tasks: Sequence[Task], photos: Found, options: Options) -> Table | Blocks:
    """A table, or a block for each photograph if several classes are shown or the terminal is too narrow."""
    named = [(task.name, task.classnames) for task in tasks]
    table = Table(sys.stdout, photos.paths, named)
    narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < table.width
    return Blocks(sys.stdout, named) if options.top > 1 or narrow else table


def csv_paths(tasks: Sequence[Task], options: Options) -> list[Path]:
    """The CSV files that are written. InputError if one cannot be."""
    if options.csv is None:
        return []
    if not options.per_task:
        return [options.csv]
    paths = answers.files_apart(options.csv, [task.name for task in tasks])
    for path in paths:
        check_csv(path)
    return paths


def shows_rows(options: Options) -> bool:
    """True if rows on a terminal show how far the work is."""
    return options.csv is None and not options.json and not options.per_task and sys.stdout.isatty()


def closing(failures: Sequence[tuple[str, str]], count: int) -> int:
    """List what could not be read, and return the exit status."""
    if not failures:
        return 0
    lines = [f"{len(failures):,} of {counted(count, 'photograph')} could not be read:"]
    lines += [f"  {one_line(reason if path in reason else f'{path}: {reason}')}" for path, reason in failures]
    print("\n".join(lines), file=sys.stderr)
    return frame.FAILED


class Progress:
    """How far the work is, on standard error: a line that changes on a terminal, elsewhere a line now and then."""

    def __init__(self, total: int, quiet: bool):
        self.total, self.done = total, 0
        self.on = total > PROGRESS_ABOVE and not quiet
        self.changes = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self.began = self.last = time.monotonic()
        self.due = self.began + (TERMINAL_EVERY if self.changes else FIRST)
        return self

    def step(self) -> None:
        """One more photograph is done."""
        now = time.monotonic()
        # Photographs come in batches, so the time of those before says more than the time until this one.
        before, seconds = self.done, self.last - self.began
        self.done, self.last = before + 1, now
        if not self.on or now < self.due:
            return
        left = f", about {seconds * (self.total - before) / before:,.0f} s left" if before else ""
        text = f"{self.done:,} of {self.total:,} photographs{left}"
        if self.changes:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            self.due = now + TERMINAL_EVERY
        else:
            print(text, file=sys.stderr, flush=True)
            self.due = now + max(EVERY, (now - self.began) / 10)  # fewer lines in long work

    def __exit__(self, *_: object) -> None:
        if not self.on:
            return
        if self.changes:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        else:
            print(f"{self.done:,} of {self.total:,} photographs", file=sys.stderr, flush=True)
