"""All commands: what launch.py calls.

    python launch.py <command> [arguments]              what the scripts in scripts/ call
    python launch.py --check <command> [arguments]      only checks the arguments, with the standard library alone: what
                                                        scripts/setup_env.sh calls before it installs anything

Exit statuses of --check: 0 the arguments are fine, 2 bad input, 11 --help was answered. The arguments are fine and the
command also needs: 10 OpenCLIP, 12 Gradio, 13 both, 14 what exports need, 15 that and OpenCLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from common import catalogue, plugins
from common.errors import InputError, unknown
from launcher import arguments, commands, frame, protocols
from launcher.plan import COMPARE

# Commands with a module of their own, imported when called; each has `answer(argv, check)`.
MODULES = {
    "table": "launcher.tables.main",
    "report": "launcher.report",
    "predict": "launcher.predict",
    "demo": "launcher.demo",
    "export": "launcher.export",
    "bank": "launcher.bank",
    "prepare": "launcher.data.prepare",
    "check": "launcher.data.check",
    "show": "launcher.data.show",
    "datasets_page": "launcher.data.table",
}


def answer(argv: list[str]) -> int:
    """Run a command line."""
    check = argv[:1] == ["--check"]
    command, *rest = (argv[1:] if check else argv) or [""]
    if command in ("-h", "--help"):
        print(f"usage: python launch.py <command> [arguments]\n\ncommands: {', '.join(known_commands())}")
        print("\npython launch.py <command> --help lists a command's arguments.")
        return commands.ANSWERED if check else 0
    if command == "worker":
        return import_module("launcher.tables.worker").answer(rest)
    try:
        plugins.load(arguments.named_plugins(rest))
    except ModuleNotFoundError as error:
        if check:  # a plug-in imports PyTorch, which is not installed yet: it is checked afterwards
            return 0
        raise InputError(
            f"A plug-in needs the module '{error.name}', which Python does not have; bash scripts/train.sh installs "
            "the modules in requirements.txt, others you have to install yourself."
        ) from error
    if command in MODULES:
        module: Callable[[Sequence[str], bool], int] = import_module(MODULES[command]).answer
        return module(rest, check)
    if command == "train":
        return commands.train(rest, check)
    if command in catalogue.commands() or command in (COMPARE, *protocols.PROTOCOLS):
        return commands.answer(command, rest, check)
    if not command:
        raise InputError("Which command? For example: bash scripts/softcpt/main.sh garden8 4")
    raise unknown("Command", command, known_commands())


def known_commands() -> list[str]:
    """The commands that a user can call."""
    return [*catalogue.commands(), COMPARE, *protocols.PROTOCOLS, "train", *MODULES]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status: 0, 1 if something failed, 2 for bad input, 130 if interrupted."""
    return frame.run(answer, argv)
