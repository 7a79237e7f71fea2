"""A method's settings, each declared once: name, default, range, and a line of help.

Checks, the list that --help prints and what a checkpoint must agree on derive from the declarations. A trainer in
trainers/ holds its own in the class attribute KNOBS, as literals, so that the launcher can list them before PyTorch is
installed (`read_knobs`).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError, unknown
from common.files import read_text
from common.text import counted

DASSL = object()  # in place of a default: the key is Dassl's, and so is its default


@dataclass(frozen=True)
class Knob:
    """One setting.

    Args:
        name: within the method's section, TRAINER.<section>; a whole dotted key for settings of all methods.
        default: its value unless a config or the command line sets it; its type is the knob's.
        help: one line for a reader.
        among: the values it can take, with a word on each if it is a mapping.
        least, most: the smallest and largest values.
        above, below: limits that it cannot reach.
        never: single values that it cannot take.
        must: the range in words, where the limits do not say it.
        training: only training reads it: a checkpoint made with another value can be used.
        count: how many values a list has; without it, any number but 0. Limits are for each value of a list.
        ascending: the values of a list are in ascending order.
        whole: the values of a list are whole numbers.
    """

    name: str
    default: Any
    help: str
    among: Mapping[str, str] | tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    never: tuple[Any, ...] = ()
    must: str = ""
    training: bool = False
    count: int | None = None
    ascending: bool = False
    whole: bool = False

    @property
    def limited(self) -> bool:
        """True if not every value of its type will do."""
        limits = (self.least, self.most, self.above, self.below, self.count)
        return bool(self.among or self.never) or any(limit is not None for limit in limits)

    def accepts(self, value: Any) -> bool:
        """True if the value is within the range; None, which Dassl's config takes for any type, and NaN are not."""
        if not isinstance(value, (list, tuple)):
            return self._accepts_one(value)
        if not self.limited:
            return True
        sized = len(value) == self.count if self.count is not None else len(value) > 0
        return sized and all(map(self._accepts_one, value)) and (not self.ascending or sorted(value) == list(value))

    def _accepts_one(self, value: Any) -> bool:
        if isinstance(value, float) and not math.isfinite(value):
            return value is self.default
        if value is None:
            return self.default is None or not self.limited
        if self.among and value not in self.among:
            return False
        limits = (self.least, self.most, self.above, self.below)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number and (self.whole or any(limit is not None for limit in limits)):
            return False
        return not (
            value in self.never
            or (self.whole and not isinstance(value, int))
            or (self.least is not None and not value >= self.least)
            or (self.most is not None and not value <= self.most)
            or (self.above is not None and not value > self.above)
            or (self.below is not None and not value < self.below)
        )

    @property
    def range(self) -> str:
        """The values that it takes, in words; empty if every value of its type will do."""
        if self.must:
            return self.must
        if self.among:
            *others, last = self.among
            return f"{', '.join(others)} or {last}" if others else last
        limits = (("at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below))
        words = " and ".join(f"{word} {_plain(limit)}" for word, limit in limits if limit is not None)
        if self.count is None:
            return words
        order = " in ascending order" if self.ascending else ""
        return f"{counted(self.count, 'number')}{order}" + (f", each {words}" if words else "")


# It is declared here, so that --help can list it.
RESIDUAL_C = Knob(
    "RESIDUAL.C",
    0.0,
    "of a residual of the images: inverse weight of its penalty; 0: choose it by cross-validation",
    least=0,
)


def _plain(limit: float) -> str:
    """A limit without ".0" and with all its digits."""
    return str(int(limit)) if limit == int(limit) else str(limit)


def check(knobs: Iterable[Knob], section: Mapping[str, Any], prefix: str = "") -> None:
    """InputError for the first knob whose value is out of range; ``section`` holds the values by name."""
    for knob in knobs:
        value = section[knob.name]
        if knob.accepts(value):
            continue
        if knob.among and isinstance(value, str):
            raise unknown(f"{prefix}{knob.name}", value, knob.among)
        must = knob.range or "a finite number"
        raise InputError(f"{prefix}{knob.name} is {value}; it must be {must}.")


def read_knobs(path: Path, trainer: str) -> tuple[str, list[Knob]]:
    """The section and the knobs that a trainer's file declares, read without running it.

    Values must be literals, or names of literals in the same file. ("", []) if the file declares none that way.
    """
    tree = ast.parse(read_text(path))
    known: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                known[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue

    def value(node: ast.expr) -> Any:
        return known[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)

    section, knobs = "", []
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == trainer):
        for node in kind.body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.id if isinstance(target, ast.Name) else ""
            if name == "section":
                section = ast.literal_eval(node.value)
            elif name == "KNOBS" and isinstance(node.value, ast.Tuple):
                calls = [call for call in node.value.elts if isinstance(call, ast.Call)]
                knobs = [Knob(*map(value, c.args), **{str(k.arg): value(k.value) for k in c.keywords}) for c in calls]
    return section, knobs
