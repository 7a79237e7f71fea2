"""The floors of the repository: imports run downwards, and those that plan runs need the standard library alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from common.paths import REPOSITORY

# From the ground up. A floor may import itself and those below it.
FLOORS = (
    "common",
    "dassl",
    "prompting",
    "classifier",
    "page",
    "datasets",
    "trainers.engine",
    "trainers",
    "runs",
    "reporting",
    "launcher",
    "entry points",  # train.py, launch.py, parse_test_res.py
    "tools",  # benchmarks, scripts/garden8
)
FILES = {
    "entry points": ("train.py", "launch.py", "parse_test_res.py"),
    "tools": ("benchmarks", "scripts"),
    "dassl": ("toolbox/dassl",),
    "trainers.engine": ("trainers/engine",),
}
# Stricter than the floors: the modules of ours that some floors may import besides themselves.
ONLY = {
    "common": (),
    "dassl": (),
    "prompting": ("common",),
    "classifier": ("common", "prompting"),
    "page": ("common", "prompting", "classifier"),
    "datasets": ("common", "dassl", "prompting.tasks", "prompting.photographs", "prompting.image_files"),  # no tower
    "reporting": ("common", "runs.results"),  # reads finished runs: no PyTorch, no Dassl
}
# Packages that some floors do not know, in functions neither.
UNKNOWN = {
    "common": None,  # the standard library alone
    "prompting": {"dassl", "yacs"},
    "classifier": {"dassl", "yacs"},
    "page": {"dassl", "yacs"},
    "reporting": {"torch", "torchvision", "dassl", "yacs", "clip"},
}
# The half of the launcher and of runs/ that plans, checks and reports before anything is installed, and what it needs.
# launcher.data.sheets draws pictures, so it is imported when it is called.
PLANNING = ("common", "launcher", "train", "launch", "parse_test_res", "runs.results", "runs.status")
NEEDS_PACKAGES = {"launcher.data.sheets"}


def module_of(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    parts = parts[1:] if parts[:2] == ("toolbox", "dassl") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files_of(floor: str) -> list[Path]:
    """The Python files of a floor."""
    found: list[Path] = []
    for name in FILES.get(floor, (floor,)):
        place = REPOSITORY / name
        found += [place] if place.is_file() else sorted(place.rglob("*.py"))
    engine = REPOSITORY / "trainers" / "engine"
    return [path for path in found if floor != "trainers" or engine not in path.parents]


MODULES = {module_of(path): path for floor in FLOORS for path in files_of(floor)}
OURS = {module.split(".")[0] for module in MODULES}
FLOOR_OF = {module_of(path): number for number, floor in enumerate(FLOORS) for path in files_of(floor)}


def imports_of(module: str) -> set[str]:
    """The modules that a module imports, at its top and in functions; ours that it names as text count as well."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*parent, *(node.module.split(".") if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name in MODULES}
            if not names <= MODULES.keys():  # a name of the module itself
                found.add(base)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found |= {node.value} & MODULES.keys()  # for import_module
    return found - {module}


IMPORTS = {module: imports_of(module) for module in MODULES}


def within(module: str, names: tuple[str, ...]) -> bool:
    """True if a module is one of these, or part of one."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_the_files_are_found():
    """The checks below are about something."""
    assert all(len(files_of(floor)) >= 3 for floor in FLOORS)
    assert {"common.errors", "dassl.engine.base", "trainers.engine.batches", "trainers.coop", "train"} <= MODULES.keys()
    assert {"trainers.engine.prompt_trainer", "dassl.engine", "common.knobs"} <= IMPORTS["trainers.coop"]
    assert {"runs.config", "runs.run"} <= IMPORTS["train"]  # in a function
    assert "launcher.tables.main" in IMPORTS["launcher.main"]  # as text
    assert "dassl.engine.base" in IMPORTS["dassl.engine.trainer"] | IMPORTS["dassl.engine"]  # relative


def test_every_file_is_on_a_floor():
    skipped = {".venv", "tests", "data", "output", "docs", "toolbox"}
    files = {p for p in REPOSITORY.rglob("*.py") if p.relative_to(REPOSITORY).parts[0] not in skipped}
    assert files == {path for path in MODULES.values() if "toolbox" not in path.parts}


@pytest.mark.parametrize("floor", FLOORS)
def test_no_import_runs_up_a_floor(floor):
    for path in files_of(floor):
        module = module_of(path)
        upwards = {name for name in IMPORTS[module] if FLOOR_OF.get(name, -1) > FLOOR_OF[module]}
        assert not upwards, f"{module} imports {upwards}"


@pytest.mark.parametrize("floor", ONLY)
def test_some_floors_import_still_less(floor):
    for path in files_of(floor):
        ours = {name for name in IMPORTS[module_of(path)] if name.split(".")[0] in OURS}
        others = {name for name in ours if not within(name, (floor, *ONLY[floor]))}
        assert not others, f"{module_of(path)} imports {others}"


@pytest.mark.parametrize("floor", UNKNOWN)
def test_packages_that_some_floors_do_not_know(floor):
    for path in files_of(floor):
        packages = {name.split(".")[0] for name in IMPORTS[module_of(path)]} - {floor}
        unknown = UNKNOWN[floor]
        wrong = packages - sys.stdlib_module_names if unknown is None else packages & unknown
        assert not wrong, f"{module_of(path)} imports {wrong}"


def test_no_imports_run_in_a_circle():
    """In functions neither: a circle of modules is one module in several files."""
    graph = {module: names & MODULES.keys() for module, names in IMPORTS.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_planning_needs_the_standard_library_alone():
    """Every command can be checked, and --help answered, before scripts/setup_env.sh installs anything."""
    wanted = [module for module in MODULES if within(module, PLANNING) and module not in NEEDS_PACKAGES]
    assert len(wanted) > 30
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    command = [sys.executable, "-E", "-S", "-c", code, *wanted]  # -S: without installed packages
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_test_imports_a_test_or_a_conftest():
    """What tests share is in tests/support/."""
    for path in sorted((REPOSITORY / "tests").rglob("*.py")):
        names = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        tests = {name for name in names if name.startswith("tests.")}
        wrong = {name for name in tests if any(part.startswith(("test_", "conftest")) for part in name.split("."))}
        assert not wrong, f"{path} imports {wrong}"
