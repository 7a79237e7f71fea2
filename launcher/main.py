"""All commands: what launch.py calls.

    python launch.py <command> [words]              what the scripts in scripts/ call
    python launch.py --check <command> [words]      only checks the words, with the standard library alone: what
                                                    scripts/setup_env.sh calls before it installs anything

Exit statuses of --check: 0 the words are fine, 10 and the run needs OpenCLIP, 11 --help was answered, 2 bad input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from common import catalogue, plugins
from common.errors import InputError, unknown
from launcher import arguments, commands, frame, protocols
from launcher.plan import COMPARE

# Commands with a module of their own, imported when called; each has `answer(words, check)`.
MODULES = {
    "table": "launcher.tables.main",
    "report": "launcher.report",
    "bank": "launcher.bank",
    "prepare": "launcher.data.prepare",
    "check": "launcher.data.check",
    "show": "launcher.data.show",
    "datasets_page": "launcher.data.table",
}


def answer(argv: list[str]) -> int:
    """Carry a command line out."""
    check = argv[:1] == ["--check"]
    command, *words = (argv[1:] if check else argv) or [""]
    if command == "worker":
        return import_module("launcher.tables.worker").answer(words)
    named = arguments.named_plugins(words)
    try:
        plugins.load(named)
    except ModuleNotFoundError as error:
        if check:  # a plug-in imports PyTorch, which is not installed yet: it is checked afterwards
            return 0
        raise frame.not_installed(error, catalogue.script_of("softcpt")) from error
    if command in MODULES:
        module: Callable[[Sequence[str], bool], int] = import_module(MODULES[command]).answer
        return module(words, check)
    if command == "train":
        return commands.train(words, check)
    if command in catalogue.commands() or command in (COMPARE, *protocols.PROTOCOLS):
        return commands.answer(command, words, check)
    if not command:
        raise InputError("Which command? For example: bash scripts/softcpt/main.sh garden8 4")
    known = [*catalogue.commands(), COMPARE, *protocols.PROTOCOLS, "train", *MODULES]
    raise unknown("Command", command, known)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status: 0, 1 if something failed, 2 for bad input, 130 if interrupted."""
    return frame.run(answer, argv)
