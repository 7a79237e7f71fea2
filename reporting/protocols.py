"""Tables of two protocols: base and new classes, and tasks held out of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from common.chance import chance
from reporting.series import Series, Stat, accuracy_of, check_same_tasks, guessed, seeds_text
from reporting.tables import CHANCE, FIXED_SPACE, METRICS, NOTHING, Table, chance_cell, percent, spread
from runs.results import Run, RunError, TaskScore

SPREAD = "± is the population standard deviation over seeds."
BASE_TO_NEW_LEGEND = (
    "Accuracy in percent: base images classified among base classes, new images among new classes. H is the harmonic\n"
    "mean of base and new; in the last row, as in the literature, that of the mean base and the mean new accuracy."
)
NEW_TASKS_LEGEND = (
    "Accuracy in percent. Held out: runs trained on other tasks; zero-shot: CLIP with each task's template, on the\n"
    "same test images; difference: held out minus zero-shot."
)


@dataclass(frozen=True)
class HeldOut:
    """Tests on tasks that were held out together: ``held`` are their indices, None for all tasks.

    ``runs`` are the finished tests by seed, ``trained_on`` the names of the tasks that the tested runs were trained on.
    """

    held: tuple[int, ...] | None
    runs: Mapping[int, Run]
    trained_on: tuple[str, ...] = ()


def harmonic_mean(first: float, second: float) -> float:
    """2 / (1 / first + 1 / second), or 0 if either is 0."""
    return 2 * first * second / (first + second) if first + second else 0.0


def base_to_new_table(base: Series, new: Series) -> Table:
    """A row per task and one for their mean: chance among base and among new classes, base, new, their harmonic mean H.

    The last three are over the seeds that have both. H is computed from the means over seeds, its deviation from each
    seed's own H.
    """
    of_new = {run.seed: run for run in new.runs}
    pairs = [(run, of_new[run.seed]) for run in base.runs if run.seed in of_new]
    note = missing(len(pairs), len(base.seeds)).replace(" ", FIXED_SPACE)
    names = check_same_tasks([base, new])
    chances = [guessed([base]), guessed([new])]
    chances = chances if all(chances) else []
    headings = ["base chance", "new chance"] * bool(chances)
    headings += [f"{heading} {note}".strip() for heading in ("base", "new", "H")]
    table = Table(["task", "metric", *headings], [], left=2)
    table.rules = {len(names)}

    def add(name: str, metric: str, value: Callable[[Run], float], tasks: slice) -> None:
        bases, news = ([value(pair[part]) for pair in pairs] for part in (0, 1))
        first, second = Stat.of(bases), Stat.of(news)
        deviation = Stat.of(map(harmonic_mean, bases, news)).std
        h = Stat(harmonic_mean(first.mean, second.mean), deviation, len(pairs))
        guesses = [chance_cell(fmean(part[tasks])) for part in chances]
        table.rows.append([name, METRICS.get(metric, metric), *guesses, *map(spread, (first, second, h))])

    for i, (name, metric) in enumerate(names):
        add(name, metric, accuracy_of(i), slice(i, i + 1))
    add("mean", "", lambda run: run.mean, slice(None))
    return table


def base_to_new_summary(many: Sequence[tuple[str, Series, Series]]) -> Table:
    """A row for chance, and one per method (label, base, new): the last row of its table.

    The best of each column is marked.
    """
    table = Table(["method", "base", "new", "H"], [])
    parts = [guessed(base for _, base, _ in many), guessed(new for *_, new in many)]
    if all(parts):
        first, second = map(fmean, parts)
        table.rows.append([CHANCE, *map(chance_cell, (first, second, harmonic_mean(first, second)))])
    for label, base, new in many:
        both = len({run.seed for run in base.runs} & {run.seed for run in new.runs})
        mean = base_to_new_table(base, new).rows[-1]
        table.rows.append([f"{label} {missing(both, len(base.seeds))}".strip(), *mean[-3:]])
    mark_best(table, (1, 2, 3))
    return table


def new_tasks_summary(many: Sequence[tuple[str, Table]]) -> Table:
    """A row for chance, and one per method (label, table of its held-out tasks): the last row of its table."""
    table = Table(["method", "held out", "zero-shot", "difference"], [])
    chances = {whole.rows[-1][2] for _, whole in many if whole.header[2] == CHANCE.lower()} - {""}
    if len(chances) == 1:  # the methods' tasks are the same
        table.rows.append([CHANCE, *chances, *chances, ""])
    table.rows += [[label, *whole.rows[-1][-3:]] for label, whole in many]
    mark_best(table, (1,))
    return table


def mark_best(table: Table, columns: Iterable[int]) -> None:
    """Mark the highest values of each column, as printed, if there are at least two; chance is not marked."""
    for column in columns:
        shown = [NOTHING if row[0] == CHANCE else row[column].split(" ")[0] for row in table.rows]
        values = [float(text) if text != NOTHING else -math.inf for text in shown]
        if sum(value > -math.inf for value in values) > 1:
            table.best |= {(row, column) for row, value in enumerate(values) if value == max(values)}


def base_to_new_report(base: Series, new: Series) -> list[str]:
    """The table and its notes, as paragraphs."""
    if not base.runs and not new.runs:
        return ["No finished run."]
    notes = [BASE_TO_NEW_LEGEND, *([SPREAD] if len(base.seeds) > 1 else [])]
    for part, series in (("base classes", base), ("new classes", new)):
        absent = [seed for seed in series.seeds if seed not in {run.seed for run in series.runs}]
        if absent:
            notes.append(f"No finished run on {part} with {seeds_text(absent)}.")
        notes += not_numbers(part, series.runs)
    return [base_to_new_table(base, new).text(), "\n".join(notes)]


def new_tasks_table(
    zero_shot: Run | None, parts: Sequence[HeldOut], seeds: Sequence[int], names: Sequence[str] = ()
) -> Table:
    """A row per held-out task and one for their mean: chance, held out, zero-shot, and the difference.

    The mean is over the seeds that have all tasks. ``names`` are the tasks' names, used if no run has them.
    """
    tasks, values = grid(zero_shot, parts, names)
    known = chances_of(zero_shot, parts)
    headings = [CHANCE.lower()] * bool(known) + ["held out", "zero-shot", "difference"]
    table = Table(["task", "metric", *headings], [], left=2, rules={len(tasks)})

    def add(name: str, metric: str, by_seed: Iterable[float], zero: float, guess: float) -> None:
        stat = Stat.of(by_seed)
        cell = f"{spread(stat)} {missing(stat.count, len(seeds))}".strip()
        gain = stat.mean - zero
        difference = NOTHING if math.isnan(gain) else f"{round(gain, 1) + 0:+.1f}"
        first = [chance_cell(guess)] * bool(known)
        table.rows.append([name, METRICS.get(metric, metric), *first, cell, percent(zero), difference])

    zeros = [math.nan if zero_shot is None else zero_shot.tasks[number].accuracy for number in tasks]
    for (number, (name, metric)), zero in zip(tasks.items(), zeros, strict=True):
        add(name, metric, values[number].values(), zero, known.get(number, math.nan))
    whole = [seed for seed in seeds if tasks and all(seed in values[number] for number in tasks)]
    mean = [fmean(values[number][seed] for number in tasks) for seed in whole]
    guesses = [known.get(number, math.nan) for number in tasks]
    add("mean", "", mean, *(fmean(part) if part else math.nan for part in (zeros, guesses)))
    return table


def chances_of(zero_shot: Run | None, parts: Sequence[HeldOut]) -> dict[int, float]:
    """What guessing gives on held-out tasks, by index, in percent, where a test or zero-shot CLIP's run recorded it."""
    found: dict[int, float] = {}
    for part in parts:
        for run in part.runs.values():
            numbers = range(len(run.tasks)) if part.held is None else part.held
            found |= {n: chance(task.classes) for n, task in zip(numbers, run.tasks, strict=True) if task.classes}
    if zero_shot:
        found |= {n: chance(task.classes) for n, task in enumerate(zero_shot.tasks) if task.classes}
    return found


def grid(
    zero_shot: Run | None, parts: Sequence[HeldOut], names: Sequence[str]
) -> tuple[dict[int, tuple[str, str]], dict[int, dict[int, float]]]:
    """(name, metric) of each held-out task by its index, and its accuracy by index and seed."""
    tasks: dict[int, tuple[str, str]] = {}
    values: dict[int, dict[int, float]] = {}
    for part in parts:
        known = [part.runs[seed].tasks for seed in part.runs]
        count = len(zero_shot.tasks) if zero_shot else len(known[0]) if known else 0
        for place, number in enumerate(range(count) if part.held is None else part.held):
            values[number] = {}
            if zero_shot:
                tasks[number] = _task(zero_shot.tasks[number])
            else:
                tasks[number] = _task(known[0][place]) if known else (names[number], "")
            for seed, run in part.runs.items():
                if _task(run.tasks[place]) != tasks[number]:
                    where = zero_shot.folder if zero_shot else part.runs[min(part.runs)].folder
                    raise RunError(f"{where} and {run.folder} have different tasks and cannot share a table")
                values[number][seed] = run.tasks[place].accuracy
    order = sorted(tasks)
    return {number: tasks[number] for number in order}, values


def new_tasks_report(
    zero_shot: Run | None, parts: Sequence[HeldOut], seeds: Sequence[int], names: Sequence[str] = ()
) -> list[str]:
    """The table and its notes, as paragraphs."""
    if zero_shot is None and not any(part.runs for part in parts):
        return ["No finished run."]
    notes = [NEW_TASKS_LEGEND, *([SPREAD] if len(seeds) > 1 else [])]
    if zero_shot is None:
        notes.append("Zero-shot CLIP has no finished run.")
    tasks, _ = grid(zero_shot, parts, names)
    tested = [[name for name, _ in _tasks_of(part, tasks)] for part in parts]
    if 1 < len(parts) < len(tasks):
        notes.append(f"Held out together: {'; '.join(map(', '.join, tested))}.")
    for part, own in zip(parts, tested, strict=True):
        absent = [seed for seed in seeds if seed not in part.runs]
        if absent:
            which = "" if part.held is None or len(parts) == 1 else f" of {', '.join(own)}"
            notes.append(f"No finished test{which} with {seeds_text(absent)}.")
        notes += not_numbers("held out", part.runs.values())
        known = [name for name in own if name in part.trained_on]
        if known:
            notes.append(f"Not new: training included tasks of the same name ({', '.join(known)}).")
    notes += not_numbers("zero-shot", [zero_shot] if zero_shot else [])
    return [new_tasks_table(zero_shot, parts, seeds, names).text(), "\n".join(notes)]


def _tasks_of(part: HeldOut, tasks: Mapping[int, tuple[str, str]]) -> list[tuple[str, str]]:
    return list(tasks.values()) if part.held is None else [tasks[number] for number in part.held]


def not_numbers(part: str, runs: Iterable[Run]) -> list[str]:
    """A line for each run with an accuracy of NaN, such as that of a task without test images."""
    found = [(run, [task.name for task in run.tasks if math.isnan(task.accuracy)]) for run in runs]
    return [
        f"Not a number: {', '.join(names)} ({part}, seed {run.seed}, {run.folder})." for run, names in found if names
    ]


def missing(finished: int, requested: int) -> str:
    """The note next to a mean that is not over all seeds."""
    return "" if finished == requested else f"({finished} of {requested} seeds)"


def _task(task: TaskScore) -> tuple[str, str]:
    return task.name, task.metric
