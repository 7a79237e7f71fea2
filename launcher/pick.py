"""`bash scripts/train.sh <dataset> <shots>`: compares methods by cross-validation on the shots, and trains the best.

A fold is a run that holds some of the shots out (DATASET.FOLD) and is tested on these, in a folder beside those of the
seeds. So the comparison resumes like any other command, and reads neither validation nor test images. Only the run of
the chosen method opens the test split. How the choice is made is in reporting/cross_validation.py.

Methods that cost seconds run first, all folds of each. A method that takes minutes runs fold by fold, and is given up
once it is clearly behind.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.catalogue import METHODS, Method
from common.errors import InputError
from common.paths import FOLDS
from common.text import counted, wrapped
from launcher import arguments, frame, parsers
from launcher import plan as planning
from launcher.execution import ELSEWHERE, FAILED, Failure, check_pictures, run_jobs, same_refusal
from launcher.plan import Job, Plan, Request
from launcher.trained import is_dataset
from reporting import cross_validation as validation
from reporting.cross_validation import Validated
from reporting.tables import percent, seconds
from runs.results import Run, read_record
from runs.status import status

SCRIPT = "scripts/train.sh"
EXAMPLES = (
    "garden8 4",
    "garden8 16 --methods Tip-Adapter-F,LP-CLIP,SoftCPT-NATA",
    "plants7 4 --data ~/data --seeds 1,2,3",
    "my_collection.yaml 4 --data ~/data --all-images",
)
ABOUT = (
    "Compares methods, cross-validated on the training shots only, reports the best one and its expected accuracy, "
    "trains it on all shots, and tests it. The test split is not read before the choice."
)
SETS = {"DATASET.FOLD": "the comparison", "DATASET.ALL_IMAGES": "--all-images"}
# More folds would train on more of the shots, so they would be fairer to methods that need many; but each is a run of
# every method. With four, three quarters of the shots train, and the usual numbers of shots divide evenly.
MOST_FOLDS = 4
COLUMNS = 120


@dataclass(frozen=True, kw_only=True)
class Pick(Plan):
    """``jobs`` are the runs of all folds; ``folds``: how many of them a method has for each seed, 0 if no shot can be
    held out; ``all_images``: train the winner on every labelled image."""

    request: Request
    folds: int
    all_images: bool

    def jobs_of(self, method: Method) -> list[list[Job]]:
        """A method's runs: for each fold those of all seeds."""
        mine = [job for job in self.jobs if job.method == method.name]
        size = len(self.seeds)
        return [mine[start : start + size] for start in range(0, len(mine), size)]


# -- planning --


def names_dataset(word: str) -> bool:
    """True for what stands in the place of a dataset."""
    return word.endswith((".yaml", ".yml")) or is_dataset(word)


def make_parser() -> frame.OneLineParser:
    """The parser of a choice."""
    parser = parsers.run_parser(SCRIPT, ABOUT, EXAMPLES)
    parsers.add_arguments(parser, learns=True, seeds="1")
    names = ",".join(method.name for method in candidates())
    parser.add_argument("--methods", metavar="NAMES", help=f"choose among these; default: {names}")
    parser.add_argument(
        "--all-images",
        action="store_true",
        help="train the chosen method on every labelled image, those for validation and testing too; nothing is tested",
    )
    return parser


def candidates() -> list[Method]:
    """The methods that are compared by default."""
    return [method for method in METHODS.values() if method.candidate]


def make_plan(argv: Sequence[str]) -> Pick:
    """The runs of a comparison on the shots.

    Raises:
        InputError: an argument cannot be used.
    """
    args: argparse.Namespace = make_parser().parse_intermixed_args(arguments.before_dashes(argv))
    methods = candidates() if args.methods is None else planning.named_methods(args.methods)
    usage = f"bash {SCRIPT} {EXAMPLES[0]}"
    request = planning.read_request(args, argv, methods, SCRIPT, usage, may_lack=args.methods is None, sets=SETS)
    if not request.shots:  # zero-shot methods alone: there is nothing to choose by
        raise InputError(f"--methods {args.methods} has no method that learns from shots; name one more.")
    folds = min(request.shots[0], MOST_FOLDS)
    folds = 0 if folds < 2 else folds
    methods = sorted(request.methods, key=is_slow)
    jobs = [
        fold_job(request, method, seed, number, folds)
        for method in methods
        for number in range(1, folds + 1)
        for seed in request.seeds
    ]
    fields = request.fields(jobs) | {"methods": methods}
    return Pick(**fields, request=request, folds=folds, all_images=args.all_images)


def is_slow(method: Method) -> bool:
    """True for a method that is given up once it is behind: all but those known to cost seconds."""
    return method.candidate not in ("seconds", "default")


def fold_job(request: Request, method: Method, seed: int, number: int, count: int) -> Job:
    """The run of one fold."""
    shots = request.shots[0]
    key = ("DATASET.FOLD", f"{number}/{count}")
    job = request.job(method, shots, seed, [key], note=f"fold {number} of {count}")
    beside = request.job(method, shots, seed).folder.parent
    return replace(job, folder=beside / FOLDS / f"seed{seed}-{number}of{count}")


def final_plan(plan: Pick, method: Method) -> Plan:
    """The runs of the chosen method: a normal plan, or with --all-images one whose runs test nothing."""
    request = replace(plan.request, methods=[method])
    if plan.all_images and method.learns:
        key = ("DATASET.ALL_IMAGES", "True")
        jobs = [request.job(method, 0, seed, [key], note=f"all labelled images, seed {seed}") for seed in plan.seeds]
    else:
        jobs = request.all_jobs()
    return Plan(**request.fields(jobs) | {"shots": request.shots if method.learns else []})


def default_of(methods: Sequence[Method]) -> Method:
    """What is taken where the shots do not tell."""
    default = next((method for method in methods if method.candidate == "default"), None)
    return default or next(method for method in methods if method.learns)


# -- carrying it out --


def choose(plan: Pick) -> tuple[Method | None, list[Failure]]:
    """Compare the methods, and print the table and the choice.

    Returns:
        the method, None if it cannot be chosen now; and the runs that failed.

    Raises:
        InputError: no method can run, and all for the same reason.
    """
    for line in plan.left_out:
        print(line, flush=True)
    default = default_of(plan.methods)
    if not plan.folds:
        print(
            f"With one image per class, methods cannot be compared, so the default, {default.label}, is trained. No "
            "accuracy can be estimated."
        )
        return default, []
    found, failures = compare(plan)
    if any(failure.kind == ELSEWHERE for failure in failures):
        return None, failures
    if not found:
        if same_refusal(failures):
            raise InputError(failures[0].reason)
        return None, failures
    chosen = validation.choice(found, default.name)
    print(f"\n{summary(plan, found, chosen, failures)}", flush=True)
    return METHODS[chosen.method], [failure for failure in failures if failure.kind == FAILED]


def compare(plan: Pick) -> tuple[list[Validated], list[Failure]]:
    """Run what is missing of all folds; the methods that have all their folds or were given up, and what failed."""
    check_pictures(plan.jobs, plan.redo, plan.script)
    missing = [job for job in plan.jobs if not status(job).settled]
    if len(missing) < len(plan.jobs):
        print(f"{len(plan.jobs) - len(missing)} of {len(plan.jobs)} runs are finished already.", flush=True)
    numbers = {job.folder: number for number, job in enumerate(missing, start=1)}
    found: list[Validated] = []
    failures: list[Failure] = []
    for method in plan.methods:
        for jobs in portions(plan, method):
            todo = [job for job in jobs if job.folder in numbers]
            # What zero-shot CLIP refuses is wrong with the images or the tower, and every method would say so.
            failed = run_jobs(
                todo, plan.script, [numbers[job.folder] for job in todo], len(missing), keep_going=method.learns
            )
            failures += failed
            if failed:
                found = [one for one in found if one.method != method.name]
                break
            found = [*(one for one in found if one.method != method.name), validated(plan, method)]
            if is_slow(method) and validation.is_behind(found[-1], found[:-1]):
                break
    return found, failures


def portions(plan: Pick, method: Method) -> Iterator[list[Job]]:
    """A method's runs: those of a slow one fold by fold, those of a fast one at once."""
    by_fold = plan.jobs_of(method)
    yield from by_fold if is_slow(method) else [[job for jobs in by_fold for job in jobs]]


def validated(plan: Pick, method: Method) -> Validated:
    """A method's finished runs, up to the last fold that all seeds have."""
    runs: dict[tuple[int, int], Run] = {}
    for number, jobs in enumerate(plan.jobs_of(method), start=1):
        done = [status(job).run for job in jobs]
        if not all(done):
            break
        runs |= {(job.seed, number): run for job, run in zip(jobs, done, strict=True) if run is not None}
    return Validated(method.name, runs)


# -- in words --


def summary(plan: Pick, found: Sequence[Validated], chosen: Validated, failures: Sequence[Failure]) -> str:
    """The table of a comparison, and the choice in a sentence."""
    estimate, label = validation.estimate(chosen), METHODS[chosen.method].label
    shots = plan.shots[0]
    trained = shots - -(-shots // plan.folds)  # of a class with all shots; a fold may have one more
    head = f"{plan.dataset}, {counted(shots, 'shot')} ({plan.config}): cross-validation on the shots alone"
    table = validation.table([(METHODS[one.method].label, one) for one in found], chosen.method, plan.folds)
    legend = (
        f"Mean accuracy over tasks in percent, {plan.folds}-fold cross-validation on "
        f"{counted(estimate.images, 'image')}: each fold trains on {trained} of {shots} shots and tests on the rest. "
        "The interval reflects only how many images were tested. Differences and their standard errors are on the same "
        "images. No image for validation or testing was read."
    )
    sentence = (
        f"Chosen: {label}. Expected accuracy with {counted(trained, 'shot')}: {percent(estimate.mean)}, 95 % interval "
        f"{percent(estimate.low)} to {percent(estimate.high)}; with all {shots} it is often higher."
    )
    if estimate.seeds > 1:
        sentence += f" ± {percent(estimate.spread)} over {estimate.seeds} seeds."
    first = validation.best(found)
    if first.method != chosen.method:
        lead = validation.margin(first, chosen)
        sentence += (
            f" {METHODS[first.method].label} is {lead.points:.2f} points higher, not more than one standard error "
            f"({lead.error:.2f}), so the default method is kept."
        )
    lines = ["", *wrapped(legend, COLUMNS), "", *wrapped(sentence, COLUMNS)]
    first_of = {failure.job.method: failure for failure in reversed(failures)}  # its other folds failed alike
    lines += [line for failure in first_of.values() for line in left_out(failure)]
    return "\n".join([head, "", table.text(), *lines])


def left_out(failure: Failure) -> list[str]:
    """The lines on a method that has no figure."""
    reason = failure.reason + f" ({failure.details})" * bool(failure.details)
    return wrapped(f"Left out: {METHODS[failure.job.method].label}: {reason}", COLUMNS)


def untested_summary(final: Plan) -> str:
    """What was trained on all images, and that it was not tested."""
    method, job = final.methods[0], final.jobs[0]
    runs = [run for one in final.jobs if (run := status(one).run)]
    if not runs:
        return f"{method.label} on {final.dataset}: no finished run"
    images = read_record(job.folder)["counts"]["train_images"] if status(job).run else 0
    mean = sum(run.seconds["train"] for run in runs) / len(runs)
    return "\n".join(
        wrapped(
            f"{method.label} was trained on all {counted(images, 'labelled image')} of {final.dataset} in "
            f"{seconds(mean)} s. No image is left to test it on. With more images per class, it will probably do "
            "better than the estimate above.",
            COLUMNS,
        )
    )


def in_use(final: Plan) -> list[str]:
    """Where the classifier is, and how to classify photographs with it."""
    folders = [job.folder for job in final.jobs]
    words = " ".join(shlex.quote(str(folder)) for folder in folders)
    return [f"Classifier: {common(folders)}", f"Classify photographs: bash scripts/predict.sh {words} photos/"]


def common(folders: Sequence[Path]) -> Path:
    """The folder, or the one that all are in."""
    return folders[0] if len(folders) == 1 else folders[0].parent
