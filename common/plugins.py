"""Methods in files outside the repository: `--plugin path/to/file.py`, or paths in SOFTCPT_PLUGINS.

A plug-in is a Python file with a trainer, registered as those in trainers/ are, and METHODS, a tuple of its entries for
the catalogue. It is imported once a process; worker processes find it through the environment variable.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from common import catalogue
from common.errors import InputError
from common.files import is_regular
from common.paths import expanded

VARIABLE = "SOFTCPT_PLUGINS"  # paths, separated as in PATH


def paths() -> list[Path]:
    """The plug-ins that the environment names."""
    return [expanded(part).absolute() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def named(more: Iterable[str]) -> list[Path]:
    """Add plug-ins to the environment, for this process and those that it starts; returns all of them, each once."""
    found = list(dict.fromkeys([*paths(), *(expanded(part).absolute() for part in more)]))
    if found:
        os.environ[VARIABLE] = os.pathsep.join(map(str, found))
    return found


def load(files: Sequence[Path]) -> None:
    """Import plug-ins and enter their methods.

    Raises:
        InputError: a file is missing, or has no METHODS.
        ModuleNotFoundError: a plug-in imports something that is not installed, such as PyTorch before the set-up.
    """
    for path in files:
        if not is_regular(path):
            raise InputError(f"Plug-in {path} is missing; --plugin and {VARIABLE} take paths of Python files.")
        name = f"softcpt_plugin_{path.stem}"
        if name in sys.modules:
            if Path(str(sys.modules[name].__file__)) != path:
                raise InputError(f"Plug-in {path} has the name of {sys.modules[name].__file__}; rename one of them.")
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise InputError(f"Plug-in {path} is not a Python file; its name must end in .py.")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            methods = getattr(module, "METHODS", None)
            if not isinstance(methods, tuple) or not all(isinstance(m, catalogue.Method) for m in methods):
                raise InputError(f"Plug-in {path} has no METHODS, a tuple of common.catalogue.Method entries.")
            catalogue.add(methods)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, (InputError, ModuleNotFoundError)) or not isinstance(error, Exception):
                raise
            raise InputError(f"Plug-in {path} cannot be imported: {type(error).__name__}: {error}") from error
