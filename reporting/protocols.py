"""Tables of two protocols: base and new classes, and tasks that were held out of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from reporting.series import Series, Stat, check_same_tasks
from reporting.tables import FIXED_SPACE, METRICS, NOTHING, Table, percent, spread
from runs.results import Run, RunError, TaskScore

SPREAD = "± is the population standard deviation over seeds."
BASE_TO_NEW_LEGEND = (
    "Accuracy in percent, base images among base classes and new images among new classes. H is the harmonic mean of\n"
    "the two figures beside it: in the last row, as in the literature, of the mean base and the mean new accuracy."
)
NEW_TASKS_LEGEND = (
    "Accuracy in percent. Held out: of runs that were trained on other tasks; zero-shot: of CLIP with each task's\n"
    "template, on the same test images; difference: the former minus the latter."
)


@dataclass(frozen=True)
class HeldOut:
    """Tests on tasks that were held out together: ``held`` are their numbers, None for all that there are.

    ``runs`` are the finished ones by seed, ``learned`` the names of the tasks that they were trained on.
    """

    held: tuple[int, ...] | None
    runs: Mapping[int, Run]
    learned: tuple[str, ...] = ()


def harmonic_mean(first: float, second: float) -> float:
    """2 / (1 / first + 1 / second): near the smaller one, 0 if either is 0."""
    return 2 * first * second / (first + second) if first + second else 0.0


def base_to_new_table(base: Series, new: Series) -> Table:
    """A row for every task and one for their mean: base, new and their harmonic mean.

    All three are over the seeds that have both. H is of the means over seeds, its deviation that of the seeds' own H.
    """
    of_new = {run.seed: run for run in new.runs}
    pairs = [(run, of_new[run.seed]) for run in base.runs if run.seed in of_new]
    note = missing(len(pairs), len(base.seeds)).replace(" ", FIXED_SPACE)
    names = check_same_tasks([base, new])
    table = Table(["task", "metric", *(f"{head} {note}".strip() for head in ("base", "new", "H"))], [], left=2)
    table.rules = {len(names)}

    def add(name: str, metric: str, value: Callable[[Run], float]) -> None:
        bases, news = ([value(pair[part]) for pair in pairs] for part in (0, 1))
        first, second = Stat.of(bases), Stat.of(news)
        deviation = Stat.of(map(harmonic_mean, bases, news)).std
        h = Stat(harmonic_mean(first.mean, second.mean), deviation, len(pairs))
        table.rows.append([name, METRICS.get(metric, metric), *map(spread, (first, second, h))])

    for i, (name, metric) in enumerate(names):
        add(name, metric, lambda run, i=i: run.tasks[i].accuracy)
    add("mean", "", lambda run: run.mean)
    return table


def base_to_new_summary(many: Sequence[tuple[str, Series, Series]]) -> Table:
    """Methods (label, base, new) as rows: what their tables say of the mean over tasks, the best H stressed."""
    table = Table(["method", "base", "new", "H"], [])
    for label, base, new in many:
        both = len({run.seed for run in base.runs} & {run.seed for run in new.runs})
        mean = base_to_new_table(base, new).rows[-1]
        table.rows.append([f"{label} {missing(both, len(base.seeds))}".strip(), *mean[2:]])
    stress_shown(table, (1, 2, 3))
    return table


def new_tasks_summary(many: Sequence[tuple[str, Table]]) -> Table:
    """Methods (label, table of its held-out tasks) as rows: what the tables say of the mean over tasks."""
    table = Table(["method", "held out", "zero-shot", "difference"], [])
    table.rows = [[label, *whole.rows[-1][2:]] for label, whole in many]
    stress_shown(table, (1,))
    return table


def stress_shown(table: Table, columns: Iterable[int]) -> None:
    """Marks the highest figures of columns, if there is anything to compare."""
    for column in columns:
        shown = [row[column].split(" ")[0] for row in table.rows]
        values = [float(text) if text != NOTHING else -math.inf for text in shown]
        if sum(value > -math.inf for value in values) > 1:
            table.best |= {(row, column) for row, value in enumerate(values) if value == max(values)}


def base_to_new_report(base: Series, new: Series) -> list[str]:
    """The table and what must be said of it, as paragraphs."""
    if not base.runs and not new.runs:
        return ["No finished run."]
    told = [BASE_TO_NEW_LEGEND, *([SPREAD] if len(base.seeds) > 1 else [])]
    for what, series in (("base classes", base), ("new classes", new)):
        absent = [seed for seed in series.seeds if seed not in {run.seed for run in series.runs}]
        if absent:
            told.append(f"No finished run on {what} with seed {', '.join(map(str, absent))}.")
        told += not_numbers(what, series.runs)
    return [base_to_new_table(base, new).text(), "\n".join(told)]


def new_tasks_table(
    zero_shot: Run | None, parts: Sequence[HeldOut], seeds: Sequence[int], names: Sequence[str] = ()
) -> Table:
    """A row for every held-out task and one for their mean: held out, zero-shot, and the difference.

    The mean is over the seeds that have all tasks; ``names`` are the tasks' where no run tells them.
    """
    tasks, values = grid(zero_shot, parts, names)
    table = Table(["task", "metric", "held out", "zero-shot", "difference"], [], left=2, rules={len(tasks)})

    def add(name: str, metric: str, by_seed: Iterable[float], zero: float) -> None:
        stat = Stat.of(by_seed)
        cell = f"{spread(stat)} {missing(stat.count, len(seeds))}".strip()
        gain = stat.mean - zero
        difference = NOTHING if math.isnan(gain) else f"{round(gain, 1) + 0:+.1f}"
        table.rows.append([name, METRICS.get(metric, metric), cell, percent(zero), difference])

    zeros = [math.nan if zero_shot is None else zero_shot.tasks[number].accuracy for number in tasks]
    for (number, (name, metric)), zero in zip(tasks.items(), zeros, strict=True):
        add(name, metric, values[number].values(), zero)
    whole = [seed for seed in seeds if tasks and all(seed in values[number] for number in tasks)]
    mean = [fmean(values[number][seed] for number in tasks) for seed in whole]
    add("mean", "", mean, fmean(zeros) if zeros else math.nan)
    return table


def grid(
    zero_shot: Run | None, parts: Sequence[HeldOut], names: Sequence[str]
) -> tuple[dict[int, tuple[str, str]], dict[int, dict[int, float]]]:
    """(name, metric) of every held-out task by its number, and its accuracy by number and seed."""
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
    """The table and what must be said of it, as paragraphs."""
    if zero_shot is None and not any(part.runs for part in parts):
        return ["No finished run."]
    told = [NEW_TASKS_LEGEND, *([SPREAD] if len(seeds) > 1 else [])]
    if zero_shot is None:
        told.append("Zero-shot CLIP has no finished run.")
    tasks, _ = grid(zero_shot, parts, names)
    if len(parts) > 1 and len(parts) < len(tasks):
        folds = ("; ".join(", ".join(tasks[number][0] for number in part.held) for part in parts),)
        told.append(f"Held out together: {folds[0]}.")
    for part in parts:
        absent = [seed for seed in seeds if seed not in part.runs]
        if absent:
            which = "" if part.held is None or len(parts) == 1 else " of " + ", ".join(tasks[n][0] for n in part.held)
            told.append(f"No finished test{which} with seed {', '.join(map(str, absent))}.")
        told += not_numbers("held out", part.runs.values())
        tested = tasks.values() if part.held is None else [tasks[number] for number in part.held]
        again = [name for name, _ in tested if name in part.learned]
        if again:
            told.append(f"Not new: tasks of the same name were trained on ({', '.join(again)}).")
    told += not_numbers("zero-shot", [zero_shot] if zero_shot else [])
    return [new_tasks_table(zero_shot, parts, seeds, names).text(), "\n".join(told)]


def not_numbers(what: str, runs: Iterable[Run]) -> list[str]:
    """A line for every run that has an accuracy which is no number, such as that of a task without test images."""
    found = [(run, [task.name for task in run.tasks if math.isnan(task.accuracy)]) for run in runs]
    return [
        f"Not a number: {', '.join(names)} ({what}, seed {run.seed}, {run.folder})." for run, names in found if names
    ]


def missing(there: int, asked: int) -> str:
    """What must stand beside a figure that is not over all seeds."""
    return "" if there == asked else f"({there} of {asked} seeds)"


def _task(task: TaskScore) -> tuple[str, str]:
    return task.name, task.metric
