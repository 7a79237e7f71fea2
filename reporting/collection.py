"""All runs in a collection's folder: groups that can be compared, missing seeds and failed runs."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection as AnyCollection
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from common.catalogue import METHODS
from common.files import is_regular, read_bytes
from common.paths import LOCK, TRACEBACK
from common.text import printable
from reporting.series import Series, make_series, seeds_text
from reporting.tables import shots_of
from runs.results import Run, RunError, read_run, run_folders

# Settings that select tasks or classes: runs with different ones cannot be compared.
SUBSAMPLE = "DATASET.SUBSAMPLE_"
REFERENCE = "SoftCPT-NATA"  # the method that others are compared with


@dataclass(frozen=True)
class Unfinished:
    """A run folder that is not in any table: it has no results, or another run has the same seed.

    ``reason`` is the last line of its error if it failed. ``running``: a process is computing it.
    """

    folder: Path
    reason: str
    failed: bool
    running: bool = False


@dataclass(frozen=True)
class Row:
    """A method with one config and one set of further settings: its runs at each number of shots.

    ``label`` names the method, and the config and settings that distinguish it from the group's other rows. ``running``
    has (shots, seed) of runs that are being computed.
    """

    label: str
    method: str
    config: str
    variant: str
    by_shots: Mapping[int, Series]
    running: frozenset[tuple[int, int]] = frozenset()

    @property
    def zero_shot(self) -> bool:
        """True if it learns nothing, so that its one run is used for every number of shots."""
        return list(self.by_shots) == [0]

    def at(self, shots: int) -> Series | None:
        """The runs at a number of shots, or None."""
        return self.by_shots.get(0 if self.zero_shot else shots)

    @property
    def runs(self) -> list[Run]:
        return [run for series in self.by_shots.values() for run in series.runs]

    @property
    def towers(self) -> list[str]:
        """The image and text towers of its runs."""
        return sorted({run.backbone for run in self.runs})


@dataclass(frozen=True)
class Group:
    """Rows whose runs have the same tasks and classes. ``shots`` and ``seeds`` are those of any row."""

    title: str
    rows: tuple[Row, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]

    @property
    def tasks(self) -> tuple[tuple[str, str], ...]:
        """(name, metric) of each task."""
        return tuple((task.name, task.metric) for task in self.runs[0].tasks)

    def series(self, row: Row, shots: int) -> Series:
        """A row's runs at a number of shots and the requested seeds; a series without runs if there are none."""
        return row.at(shots) or Series(row.method, self.seeds, ())

    def table_rows(self, shots: int) -> list[tuple[str, Series]]:
        """(label, runs) of each row that was run at this number of shots."""
        return [(row.label, series) for row in self.rows if (series := row.at(shots)) is not None]

    def missing(self) -> list[str]:
        """A line per row and number of shots that lacks seeds of other rows, except those that are running."""
        lines = []
        for row in self.rows:
            for shots, series in sorted(row.by_shots.items()):
                present = {run.seed for run in series.runs} | {seed for n, seed in row.running if n == shots}
                absent = [seed for seed in series.seeds if seed not in present]
                if absent:
                    lines.append(f"{row.label}, {shots_of(shots)}: {seeds_text(absent)}")
        return lines

    @property
    def reference(self) -> Row:
        """The row that others are compared with: SoftCPT-NATA, otherwise another SoftCPT, otherwise the best mean."""

        def rank(row: Row) -> tuple:
            values = [run.mean for run in row.runs if run.mean == run.mean]
            methods = (row.method == REFERENCE, family_of(row.method) == family_of(REFERENCE))
            return (*methods, len(row.runs), fmean(values) if values else -1.0)

        return max(self.rows, key=rank)


@dataclass(frozen=True)
class Collection:
    """The content of a collection's folder: groups of comparable runs, the largest first, and unfinished runs."""

    name: str
    folder: Path
    groups: tuple[Group, ...] = ()
    unfinished: tuple[Unfinished, ...] = field(default=())

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]

    @property
    def names(self) -> set[str]:
        """The names of rows, tasks and classes, which figures show."""
        tasks = [task for run in self.runs for task in run.tasks]
        classes = {name for task in tasks for name in task.classnames}
        return {row.label for group in self.groups for row in group.rows} | {task.name for task in tasks} | classes


def label_of(method: str) -> str:
    """A method's name in tables; the name of its run folders if it is not in the catalogue."""
    return METHODS[method].label if method in METHODS else method


def family_of(method: str) -> str:
    """The family whose colour a method has; empty if it is not in the catalogue."""
    return METHODS[method].family if method in METHODS else ""


def read_collection(folder: str | Path) -> Collection:
    """The runs under ``folder``, with methods in the catalogue's order and under its labels; unknown methods are last.

    Raises RunError if no run was ever started there.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise RunError(f"{folder} is not a folder; name a folder of runs, such as output/garden8.")
    found: list[Run] = []
    unfinished: list[Unfinished] = []
    for path in run_folders(folder):
        try:
            found.append(read_run(path))
        except RunError as error:
            unfinished.append(_unfinished(path, str(error)))
    found, duplicates = _without_duplicates(found)
    unfinished += duplicates
    if not found and not unfinished:
        raise RunError(f"There are no runs in {folder}; name a folder of runs, such as output/garden8.")
    groups = [_group(title, runs, unfinished) for title, runs in _comparable(found)]
    groups.sort(key=lambda group: -len(group.runs))
    names = Counter(run.dataset for run in found)
    name = names.most_common(1)[0][0] if names else folder.resolve().name
    return Collection(name, folder, tuple(groups), tuple(unfinished))


def _without_duplicates(found: Sequence[Run]) -> tuple[list[Run], list[Unfinished]]:
    """One run per seed, preferably the one in the folder seed<k>, and the others, such as copies of earlier runs."""
    kept: dict[tuple, Run] = {}
    others = []
    for run in sorted(found, key=lambda run: run.folder.name != f"seed{run.seed}"):
        tasks = tuple(task.name for task in run.tasks)
        key = (run.dataset, tasks, run.method, run.config, run.variant, run.shots, run.seed)
        if key not in kept:
            kept[key] = run
        else:
            reason = f"is ignored: {kept[key].folder.name} has seed {run.seed}, too"
            others.append(Unfinished(run.folder, reason, failed=False))
    folders = {run.folder for run in kept.values()}
    return [run for run in found if run.folder in folders], others


def is_running(folder: Path) -> bool:
    """Return whether a living process holds the lock of a run's folder; False if the lock cannot be tested."""
    if not is_regular(folder / LOCK):
        return False
    try:
        from filelock import FileLock, Timeout  # reports are also made before packages are installed
    except ModuleNotFoundError:
        return False
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False
    lock.release()
    return False


def _unfinished(folder: Path, error: str) -> Unfinished:
    if is_running(folder):
        return Unfinished(folder, "is running", failed=False, running=True)
    try:
        lines = printable(read_bytes(folder / TRACEBACK).decode("utf-8", "replace")).strip().splitlines()
    except OSError:
        lines = []
    return Unfinished(
        folder, lines[-1].strip() if lines else error.removeprefix(f"{folder} ").removeprefix(f"{folder}/"), bool(lines)
    )


def _comparable(runs: Iterable[Run]) -> list[tuple[str, list[Run]]]:
    """(title, runs that can be compared): those on the same part of the collection, the same tasks and classes.

    The number of classes distinguishes half of the classes from all if the folders do not. Runs that did not record it
    are grouped with the runs on the same tasks that did, if these agree.
    """
    apart: dict[tuple, dict[tuple, list[Run]]] = {}
    for run in runs:
        parts = [part for part in _settings(run.variant) if part.startswith(SUBSAMPLE)]
        key = (", ".join(parts) or run.dataset, run.dataset, tuple((task.name, task.metric) for task in run.tasks))
        apart.setdefault(key, {}).setdefault(tuple(task.classes for task in run.tasks), []).append(run)
    found = []
    for (title, *_), by_classes in apart.items():
        known = [counts for counts in by_classes if None not in counts]
        if len(known) == 1:
            by_classes = {known[0]: [run for part in by_classes.values() for run in part]}
        found += [(title, part) for part in by_classes.values()]
    return found


def _settings(variant: str) -> list[str]:
    """The parts of "A=1+B=2"; a + that no key follows belongs to a value."""
    return re.split(r"\+(?=[A-Z_.0-9]+=)", variant) if variant else []


def _group(title: str, runs: Sequence[Run], unfinished: Iterable[Unfinished]) -> Group:
    by_row: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        by_row.setdefault((run.method, run.config, run.variant), []).append(run)
    order = list(METHODS)
    keys = sorted(by_row, key=lambda key: (order.index(key[0]) if key[0] in order else len(order), *key))
    places = {run.folder.parent.parent for run in runs}
    started = [one.folder for one in unfinished if one.folder.parent.parent in places]
    running = [one.folder for one in unfinished if one.running]
    seeds = _requested_seeds(by_row.values(), started)
    several_configs = len({config for _, config, _ in keys}) > 1
    rows = []
    for method, config, variant in keys:
        own = by_row[method, config, variant]
        settings = [part for part in _settings(variant) if not part.startswith(SUBSAMPLE)]
        label = ", ".join([label_of(method), *[config] * several_configs, *settings])
        if _zero_shot(own):
            first = min(own, key=lambda run: run.seed)
            by_shots = {0: make_series(method, [first.seed], [first])}
        else:
            counts = sorted({run.shots for run in own} | _started_shots(own, started))
            by_shots = {n: make_series(method, seeds, [run for run in own if run.shots == n]) for n in counts}
        rows.append(Row(label, method, config, variant, by_shots, _shots_and_seeds(own, running)))
    all_shots = sorted({n for row in rows if not row.zero_shot for n in row.by_shots}, key=lambda n: (n < 1, n))
    return Group(title, tuple(rows), tuple(all_shots) or (0,), seeds)


def _zero_shot(runs: Sequence[Run]) -> bool:
    return all(run.shots < 1 and not run.parameters for run in runs)


def _requested_seeds(rows: AnyCollection[Sequence[Run]], started: Iterable[Path]) -> tuple[int, ...]:
    """All seeds of runs that learn and of folders of started runs; without runs that learn, the lowest seed."""
    learning = {run.seed for row in rows if not _zero_shot(row) for run in row}
    if not learning:
        return tuple(sorted({run.seed for row in rows for run in row}))[:1]
    numbers = (path.name.removeprefix("seed") for path in started)
    return tuple(sorted(learning | {int(number) for number in numbers if number.isdigit()}))


def _shots_and_seeds(own: Sequence[Run], folders: Iterable[Path]) -> frozenset[tuple[int, int]]:
    """(shots, seed) of the folders that are next to a row's runs."""
    places = {run.folder.parent.parent for run in own}
    names = [
        (path.parent.name.removesuffix("shots"), path.name.removeprefix("seed"))
        for path in folders
        if path.parent.parent in places
    ]
    return frozenset((int(shots), int(seed)) for shots, seed in names if shots.isdigit() and seed.isdigit())


def _started_shots(own: Sequence[Run], started: Iterable[Path]) -> set[int]:
    """Numbers of shots with started runs of a row."""
    places = {run.folder.parent.parent for run in own}
    counts = (path.parent.name.removesuffix("shots") for path in started if path.parent.parent in places)
    return {int(count) for count in counts if count.isdigit()}
