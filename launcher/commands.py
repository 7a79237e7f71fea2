"""The commands that run methods: one method, a comparison, the two protocols."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from common import catalogue
from common.catalogue import METHODS
from common.errors import InputError, unknown
from common.files import write_atomically
from launcher import arguments, frame, protocols
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
        return planning.compare_parser()
    if command in catalogue.commands():
        return planning.method_parser(command)
    method = catalogue.named(command)
    return planning.method_parser(method.command, f"scripts/train.sh {method.name}", choice=False)


def train(argv: Sequence[str], check: bool) -> int:
    """scripts/train.sh: any method by its name, its label or its command."""
    command, *rest = argv or ["--help"]
    if command in ("-h", "--help"):
        print("usage: bash scripts/train.sh <method> <dataset> <shots> [options]\n\nmethods:")
        for name in catalogue.commands():
            methods = catalogue.methods_of(name)
            print(f"  {name:14}{methods[0].about}")
            print("".join(f"      {method.name}\n" for method in methods if len(methods) > 1), end="")
        print("\nbash scripts/train.sh <method> --help lists a method's options and keys.")
        return ANSWERED if check else 0
    if command.startswith("-"):
        raise InputError("Which method? It comes first, for example: bash scripts/train.sh softcpt garden8 4")
    if command.lower() in catalogue.commands():
        return answer(command.lower(), rest, check)
    try:
        method = catalogue.named(command)
    except InputError:
        raise unknown("Method", command, [*catalogue.commands(), *METHODS]) from None
    return answer(method.name, rest, check)


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
