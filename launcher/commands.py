"""The commands that run methods: one method, a comparison, the two protocols."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from common import catalogue, configs
from common.catalogue import METHODS
from common.errors import InputError, nearest
from common.files import write_atomically
from launcher import arguments, frame, parsers, protocols
from launcher import pick as picking
from launcher import plan as planning
from launcher.execution import closing_line, names_of_tasks, run_missing
from launcher.plan import COMPARE, Plan
from launcher.summaries import comparison_summary, method_summary

# Exit statuses of --check beside 0 and 2, for scripts/setup_env.sh.
NEEDS_OPENCLIP, ANSWERED = 10, 11
NEEDS_PAGE, NEEDS_PAGE_AND_OPENCLIP = 12, 13
NEEDS_EXPORT, NEEDS_EXPORT_AND_OPENCLIP = 14, 15


def answer(command: str, argv: Sequence[str], check: bool) -> int:
    """Run a command, or only ``check`` its arguments."""
    argv = list(argv)
    by_protocol = command in protocols.PROTOCOLS
    if arguments.asks_for_help(argv):
        parser_of(command, argv).print_help()
        return ANSWERED if check else 0
    if by_protocol:
        plan: Plan = protocols.make_plan(command, argv, None if check else names_of_tasks)
    elif command == COMPARE:
        plan = planning.compare_plan(argv)
    elif command in catalogue.commands():
        plan = planning.method_plan(command, argv)
    else:
        method = catalogue.named(command)
        plan = planning.method_plan(method.command, argv, method)
    if check:
        return NEEDS_OPENCLIP if plan.needs_openclip else 0
    return carry_out(plan)


def parser_of(command: str, argv: Sequence[str]) -> frame.OneLineParser:
    """The parser of a command, for its help."""
    if command in protocols.PROTOCOLS:
        return protocols.make_parser(command, argv[0])
    if command == COMPARE:
        return parsers.compare_parser()
    if command in catalogue.commands():
        return parsers.method_parser(command)
    method = catalogue.named(command)
    return parsers.method_parser(method.command, f"scripts/train.sh {method.name}", choice=False)


def train(argv: Sequence[str], check: bool) -> int:
    """scripts/train.sh: any method by its name, its label or its command; or a dataset, for which one is chosen."""
    command, *rest = argv or ["--help"]
    if command in ("-h", "--help"):
        print("usage: bash scripts/train.sh <method> <dataset> <shots> [options]   trains and tests a method")
        print("       bash scripts/train.sh <dataset> <shots> [options]            chooses one, trains and tests it")
        print("\nmethods:")
        for name in catalogue.commands():
            methods = catalogue.methods_of(name)
            print(f"  {name:14}{methods[0].about}")
            print("".join(f"      {method.name}\n" for method in methods if len(methods) > 1), end="")
        print("\nbash scripts/train.sh <method> --help lists a method's options and keys,")
        print("bash scripts/train.sh <dataset> --help those of the choice, such as for garden8.")
        return ANSWERED if check else 0
    if command.startswith("-"):
        raise InputError(
            "Which method or dataset? It comes first, for example: bash scripts/train.sh softcpt garden8 4"
        )
    if command.lower() in catalogue.commands():
        return answer(command.lower(), rest, check)
    try:
        method = catalogue.named(command)
    except InputError:
        return pick(argv, check)
    return answer(method.name, rest, check)


def pick(argv: Sequence[str], check: bool) -> int:
    """scripts/train.sh with a dataset: choose a method on the shots, and train and test it."""
    if not picking.names_dataset(argv[0]):
        known = [*catalogue.commands(), *METHODS, *configs.datasets()]
        guess = nearest(argv[0], known)
        hint = f"; did you mean '{guess}'?" if guess else "."
        raise InputError(
            f"'{argv[0]}' is neither a method nor a dataset{hint} bash scripts/train.sh --help lists the methods, and "
            "the datasets are in configs/datasets and configs/collections."
        )
    if arguments.asks_for_help(argv):
        picking.make_parser().print_help()
        return ANSWERED if check else 0
    plan = picking.make_plan(argv)
    if check:
        return NEEDS_OPENCLIP if plan.needs_openclip else 0
    started = time.monotonic()
    chosen, failures = picking.choose(plan)
    if chosen is None:
        print(closing_line(failures, len(plan.jobs)), file=sys.stderr)
        return frame.FAILED
    final = picking.final_plan(plan, chosen)
    print(f"\nTraining {chosen.label} on {'all labelled images' if plan.all_images else 'all shots'}", flush=True)
    missing = run_missing(final)
    text = picking.untested_summary(final) if plan.all_images and chosen.learns else method_summary(final)
    print(f"\n{text}", *([] if missing else picking.in_use(final)), sep="\n")
    print(f"Done in {time.monotonic() - started:.0f} s", flush=True)
    if missing:
        print(closing_line(missing, len(final.jobs)), file=sys.stderr)
    return frame.FAILED if failures or missing else 0


def carry_out(plan: Plan) -> int:
    """Run, report, and return the exit status."""
    started = time.monotonic()
    for line in plan.left_out:
        print(line, flush=True)
    failures = run_missing(plan)
    if plan.comparison is not None:
        text, markdown = comparison_summary(plan, failures)
        file = plan.output / plan.dataset / plan.comparison.report
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, markdown)
        text += f"\nAlso in {file}"
    elif isinstance(plan, (protocols.BaseToNew, protocols.NewTasks)):
        text = protocols.report(plan)
    else:
        text = method_summary(plan)
    print(f"\n{text}\nDone in {time.monotonic() - started:.0f} s", flush=True)
    if failures:
        print(closing_line(failures, len(plan.jobs)), file=sys.stderr)
    return frame.FAILED if failures else 0
