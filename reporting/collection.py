"""All runs of a collection's folder, set in order: what can be compared, what is missing, what has failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from common.paths import TRACEBACK
from reporting.series import Series, make_series
from runs.results import Run, RunError, read_run, run_folders

# Settings that change what is to be told apart: runs with different ones are not of the same task.
OTHER_TASKS = "DATASET.SUBSAMPLE_"
# As the published table has them; methods that it lacks follow by name.
ORDER = (
    "ZeroshotCLIP", "ZeroshotCLIP-ensemble", "ProtoNet", "LP-CLIP", "Tip-Adapter", "Tip-Adapter-F", "CoOp-CA",
    "CoOp-CS", "CoOp-MT", "CoCoOp", "ProGrad", "KgCoOp", "PLOT", "MaPLe", "PromptSRC", "CLIP-LoRA", "MVLPT",
    "SoftCPT-STAR", "SoftCPT-NATS", "SoftCPT-NATA",
)  # fmt: skip


@dataclass(frozen=True)
class Unfinished:
    """A run folder that no table has: without results, or with those of a seed that is there already.

    ``reason`` is its error's last line where it ended with one (``failed``).
    """

    folder: Path
    reason: str
    failed: bool


@dataclass(frozen=True)
class Row:
    """A method with one config and one set of further settings: its runs at each number of shots.

    ``label`` names it, and whatever of the config and the settings it takes to tell it from the group's other rows.
    """

    label: str
    method: str
    config: str
    variant: str
    by_shots: Mapping[int, Series]

    @property
    def without_chance(self) -> bool:
        """Whether it learns nothing, and so has one run that stands beside every number of shots."""
        return list(self.by_shots) == [0]

    def at(self, shots: int) -> Series | None:
        """The runs at a number of shots, None where there are none."""
        return self.by_shots.get(0 if self.without_chance else shots)

    @property
    def runs(self) -> list[Run]:
        return [run for series in self.by_shots.values() for run in series.runs]


@dataclass(frozen=True)
class Group:
    """Rows whose runs are of the same tasks and the same classes. ``shots`` and ``seeds`` are all that any row has."""

    title: str
    rows: tuple[Row, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]

    @property
    def tasks(self) -> tuple[tuple[str, str], ...]:
        """(name, metric) of every task."""
        return tuple((task.name, task.metric) for task in self.runs[0].tasks)

    def series(self, row: Row, shots: int) -> Series:
        """A row's runs at a number of shots, with the seeds that were asked for; without runs where there are none."""
        return row.at(shots) or Series(row.method, self.seeds, ())

    def table_rows(self, shots: int) -> list[tuple[str, Series]]:
        """(label, runs) of every row that has any at this number of shots."""
        return [(row.label, series) for row in self.rows if (series := row.at(shots)) is not None]

    def missing(self) -> list[str]:
        """A line for every row and number of shots that lacks seeds which other rows have."""
        lines = []
        for row in self.rows:
            for shots, series in sorted(row.by_shots.items()):
                absent = [seed for seed in series.seeds if seed not in {run.seed for run in series.runs}]
                if absent:
                    lines.append(f"{row.label}, {shots_of(shots)}: seed {', '.join(map(str, absent))}")
        return lines

    @property
    def reference(self) -> Row:
        """The row that others are compared with: SoftCPT-NATA's, another SoftCPT's, or that of the highest mean."""

        def rank(row: Row) -> tuple:
            values = [run.mean for run in row.runs if run.mean == run.mean]
            names = (row.method == "SoftCPT-NATA", row.method.startswith("SoftCPT"))
            return (*names, len(row.runs), fmean(values) if values else -1.0)

        return max(self.rows, key=rank)


@dataclass(frozen=True)
class Collection:
    """What a collection's folder holds: comparable runs in groups, that with the most runs first, and the rest."""

    name: str
    folder: Path
    groups: tuple[Group, ...] = ()
    unfinished: tuple[Unfinished, ...] = field(default=())

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]


def shots_of(shots: int) -> str:
    """ "4 shots", "all images" for -1, or that none are looked at."""
    return f"{shots} shot{'s' * (shots != 1)}" if shots > 0 else "no training images" if shots == 0 else "all images"


def read_collection(folder: str | Path, labels: Mapping[str, str] | None = None) -> Collection:
    """The runs under ``folder``; ``labels`` gives methods' names for readers, and their order.

    Raises RunError when no run was ever begun there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; name one that runs went to, such as output/garden8.")
    found: list[Run] = []
    unfinished = []
    for path in run_folders(folder):
        try:
            found.append(read_run(path))
        except RunError as error:
            unfinished.append(_unfinished(path, str(error)))
    found, twice = _once(found)
    unfinished += twice
    if not found and not unfinished:
        raise RunError(f"There is no run in {folder}; name a folder that runs went to, such as output/garden8.")
    groups = [_group(title, runs, unfinished, labels or {}) for title, runs in _apart(found)]
    groups.sort(key=lambda group: -len(group.runs))
    names = Counter(run.dataset for run in found)
    name = names.most_common(1)[0][0] if names else folder.resolve().name
    return Collection(name, folder, tuple(groups), tuple(unfinished))


def _once(found: Sequence[Run]) -> tuple[list[Run], list[Unfinished]]:
    """One run of each seed, that in the folder named so, and the others; someone may have kept a run beside its
    successor."""
    kept: dict[tuple, Run] = {}
    others = []
    for run in sorted(found, key=lambda run: run.folder.name != f"seed{run.seed}"):
        tasks = tuple(task.name for task in run.tasks)
        key = (run.dataset, tasks, run.method, run.config, run.variant, run.shots, run.seed)
        if key not in kept:
            kept[key] = run
        else:
            reason = f"is left out: {kept[key].folder.name} is of seed {run.seed}, too"
            others.append(Unfinished(run.folder, reason, failed=False))
    folders = {run.folder for run in kept.values()}
    return [run for run in found if run.folder in folders], others


def _unfinished(folder: Path, error: str) -> Unfinished:
    try:
        lines = (folder / TRACEBACK).read_text("utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return Unfinished(folder, lines[-1].strip() if lines else error.removeprefix(f"{folder} "), bool(lines))


def _apart(runs: Iterable[Run]) -> list[tuple[str, list[Run]]]:
    """(title, runs that may stand in one table): of the same part of the collection, the same tasks and classes.

    The number of classes tells halves of the classes from the whole where folders do not. Runs that did not record it
    are with those of their tasks that did, if these agree.
    """
    apart: dict[tuple, dict[tuple, list[Run]]] = {}
    for run in runs:
        parts = [part for part in _settings(run.variant) if part.startswith(OTHER_TASKS)]
        key = (", ".join(parts) or run.dataset, run.dataset, tuple((task.name, task.metric) for task in run.tasks))
        apart.setdefault(key, {}).setdefault(tuple(task.classes for task in run.tasks), []).append(run)
    found = []
    for (title, *_), by_classes in apart.items():
        known = [counts for counts in by_classes if None not in counts]
        if len(known) == 1:
            by_classes = {known[0]: [run for alike in by_classes.values() for run in alike]}
        found += [(title, alike) for alike in by_classes.values()]
    return found


def _settings(variant: str) -> list[str]:
    """ "A=1+B=2" as its parts; a + within a value, which no key follows, is left in it."""
    return re.split(r"\+(?=[A-Z_.0-9]+=)", variant) if variant else []


def _group(title: str, runs: Sequence[Run], unfinished: Iterable[Unfinished], labels: Mapping[str, str]) -> Group:
    rows: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        rows.setdefault((run.method, run.config, run.variant), []).append(run)
    order = list(labels) or list(ORDER)
    keys = sorted(rows, key=lambda k: (order.index(k[0]) if k[0] in order else len(order), *k))
    learned = [run for key in keys for run in rows[key] if not _without_chance(rows[key])]
    places = {run.folder.parent.parent for run in runs}
    begun = [u.folder for u in unfinished if u.folder.parent.parent in places]
    seeds = {run.seed for run in learned} | {
        int(n) for path in begun if (n := path.name.removeprefix("seed")).isdigit()
    }
    wanted = tuple(sorted(seeds)) if learned else tuple(sorted({run.seed for run in runs}))[:1]
    configs = {config for _, config, _ in keys}
    made = []
    for method, config, variant in keys:
        own = rows[method, config, variant]
        parts = [part for part in _settings(variant) if not part.startswith(OTHER_TASKS)]
        label = ", ".join([labels.get(method, method), *([config] if len(configs) > 1 else []), *parts])
        if _without_chance(own):
            first = min(own, key=lambda run: run.seed)
            by_shots = {0: make_series(method, [first.seed], [first])}
        else:
            shots = sorted({run.shots for run in own} | _begun_shots(own, begun))
            by_shots = {n: make_series(method, wanted, [run for run in own if run.shots == n]) for n in shots}
        made.append(Row(label, method, config, variant, by_shots))
    all_shots = sorted({n for row in made if not row.without_chance for n in row.by_shots}, key=lambda n: (n < 1, n))
    return Group(title, tuple(made), tuple(all_shots) or (0,), wanted)


def _without_chance(runs: Sequence[Run]) -> bool:
    return all(run.shots < 1 and not run.parameters for run in runs)


def _begun_shots(own: Sequence[Run], begun: Iterable[Path]) -> set[int]:
    """Shot counts for which a row has begun runs only."""
    places = {run.folder.parent.parent for run in own}
    counts = (path.parent.name.removesuffix("shots") for path in begun if path.parent.parent in places)
    return {int(count) for count in counts if count.isdigit()}
