"""Finds the names of `dassl` that this repository uses, by reading its source without importing or running it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLDERS = (
    "benchmarks",
    "classifier",
    "common",
    "datasets",
    "launcher",
    "prompting",
    "reporting",
    "runs",
    "scripts",
    "trainers",
)
# Variables with these names hold instances of these classes in all files.
VARIABLES = {"trainer": "TrainerX", "dm": "DataManager"}


@dataclass
class Uses:
    """All uses found: full imported names, keyword arguments of calls, attributes by Dassl class, configuration keys.

    Each name maps to the files that use it.
    """

    imports: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    keywords: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    attributes: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of every source file by its path in the repository."""
    files = [REPOSITORY / "train.py", *(file for folder in FOLDERS for file in (REPOSITORY / folder).rglob("*.py"))]
    return {file.relative_to(REPOSITORY).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (name in the file, full name) for every import from dassl."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dassl":
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "dassl":
                    yield alias.asname or alias.name, alias.name


def chain(node: ast.AST) -> list[str]:
    """Return ["cfg", "OPTIM", "LR"] for the expression ``cfg.OPTIM.LR``; [] for anything but names joined by dots."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


class _Classes:
    """The repository's classes: the Dassl class that each derives from, and the names that its family defines."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.nodes: dict[str, ast.ClassDef] = {}
        self.roots: dict[str, str] = {}
        for tree in trees.values():
            self.roots.update({name: full.rsplit(".", 1)[1] for name, full in imported(tree) if "." in full})
            self.nodes.update({node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)})

    def ancestors(self, name: str) -> Iterator[str]:
        """Yield the class and all its bases; bases outside the repository end the search."""
        yield name
        for base in self.nodes[name].bases if name in self.nodes else ():
            if parts := chain(base):
                yield from self.ancestors(parts[-1])

    def root(self, name: str) -> str | None:
        """Return the Dassl class that a class of the repository derives from."""
        found = [self.roots[base] for base in self.ancestors(name) if base not in self.nodes and base in self.roots]
        return found[0] if found else None

    def own(self, root: str) -> set[str]:
        """Return the names that the classes derived from ``root`` define or assign."""
        family = {base for name in self.nodes if self.root(name) == root for base in self.ancestors(name)}
        names: set[str] = set()
        for node in (self.nodes[name] for name in family if name in self.nodes):
            for child in ast.walk(node):
                if isinstance(child, ast.FunctionDef):
                    names.add(child.name)
                elif isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
                    names.update({child.attr} if chain(child)[:1] == ["self"] else ())
            for item in node.body:
                targets: list[ast.expr] = item.targets if isinstance(item, ast.Assign) else []
                if isinstance(item, ast.AnnAssign) and item.value is not None:  # an annotation alone defines nothing
                    targets = [item.target]
                names.update(target.id for target in targets if isinstance(target, ast.Name))
        return names

    def methods(self, name: str) -> set[str]:
        """Return the methods that a class defines."""
        return {item.name for item in self.nodes[name].body if isinstance(item, ast.FunctionDef)}


def collect(defined: dict[str, set[str]], keys: set[str]) -> Uses:
    """Find all names of dassl that the repository uses.

    Args:
        defined: the methods of each Dassl class; a method of the same name here overrides it.
        keys: dotted keys of Dassl's configuration; other keys are this repository's own.
    """
    trees, uses = sources(), Uses()
    classes = _Classes(trees)
    own = {root: classes.own(root) for root in defined}
    for file, tree in trees.items():
        names = dict(imported(tree))
        for full in names.values():
            uses.imports[full].add(file)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                for keyword in node.keywords:
                    uses.keywords[f"{names[node.func.id].rsplit('.', 1)[1]}({keyword.arg})"].add(file)
            parts = chain(node)
            if parts[:1] == ["self"] and parts[1:2] in (["cfg"], ["dm"]):
                parts = parts[1:]
            if len(parts) > 1 and parts[0] in VARIABLES:
                variable_class = VARIABLES[parts[0]]
                if parts[1] not in own.get(variable_class, ()):
                    uses.attributes[variable_class][parts[1]].add(file)
            if parts[:1] == ["cfg"] and (key := ".".join(parts[1:])) in keys:
                uses.keys[key].add(file)
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and "." in node.value
                and node.value in keys
            ):
                uses.keys[node.value].add(file)
            if isinstance(node, ast.ClassDef) and (root := classes.root(node.name)) is not None and root in defined:
                methods = classes.methods(node.name) & defined[root]
                for name in _inherited(node, own[root], defined[root]) | methods:
                    uses.attributes[root][name].add(file)
    return uses


def _inherited(node: ast.ClassDef, own: set[str], defined: set[str]) -> set[str]:
    names = set()
    for item in ast.walk(node):
        if isinstance(item, ast.Attribute) and _is_super(item.value):
            names |= {item.attr} - (own - defined)
        elif isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name) and item.value.id == "self":
            names |= {item.attr} - own - {"__dict__"}
    return names
