"""Methods compared by cross-validation on the few shots: what each got right, how sure that is, and which to take.

Each fold is a run that was trained without some of the shots and tested on these (DATASET.FOLD), so over all folds each
shot is tested once. Images are pooled over folds, then a task has its own metric, and the figure is the unweighted mean
over tasks, as in every table. With several seeds, each draws shots of its own, and figures are means over seeds.

**The interval** is Wilson's (1927) 95 % interval for a share p of n images,

    (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n),      z = 1.96,

which stays within 0 and 100 % and is right for few images, where p -+ z s is too narrow. A mean over T tasks rests on
n = T^2 / sum_t 1/n_t images, so that n equals their number if all tasks have equally many; a task whose metric is the
mean over classes has n_t = C^2 / sum_c 1/n_c in the same way. This takes p for the same in every task; if tasks differ,
the mean is a little surer than the interval says. Seeds may draw the same images, so n is that of one seed: several
seeds do not make it narrower, and their spread is printed beside it. The interval says how far the figure may be off
because so few images were tested. Three things are not in it: each fold is trained on fewer shots than the final run
(which is usually better for it), the best of several figures tends to be too high, and another draw of shots would give
another classifier.

**The choice.** The method with the highest figure is taken, unless the default method is at most one standard error
behind it: a difference of that size says nothing, and of methods that look alike the one that does well everywhere is
the safer bet. This is the one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984, section
3.4.3), with "the default" in the place of "the simplest". The standard error is that of the difference on the same
images, which is smaller than that of either figure: hard images are hard for both. Its units are a class's images in
one fold (a single image if there are as many folds as shots),

    var(D_t) = m/(m - 1) sum_u w_u^2 (d_u - n_u D_t)^2,      var(D) = sum_t var(D_t) / T^2,

with m units, d_u more right answers among the n_u images of a unit, w_u one over the images of the task (or C n_c), and
D_t the difference of the task. It is the mean of the seeds' standard errors, not divided by their number's root.

**Giving up.** A method that takes minutes is compared with the best so far after each fold, on the images of the folds
that both have. It is given up if it is more than RACE standard errors behind (a race: Maron and Moore, 1994): what it
cannot win need not be measured to the end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from reporting.tables import Table, percent, seconds, signed
from runs.results import Run, RunError, TaskScore

Z = 1.959964  # two-sided 95 % quantile of the normal distribution
RACE = 2.0  # standard errors behind the best at which a slow method is given up

Unit = tuple[int, int]  # fold, class
Counts = dict[Unit, tuple[int, int]]  # right answers and images


@dataclass(frozen=True)
class Validated:
    """A method's runs by (seed, fold): the folds are numbered from 1 on."""

    method: str
    runs: Mapping[tuple[int, int], Run]

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(seed for seed, _ in self.runs))

    def folds(self) -> set[tuple[int, int]]:
        """(seed, fold) of its runs."""
        return set(self.runs)

    def within(self, folds: Collection[tuple[int, int]]) -> Validated:
        """Its runs of these folds."""
        return Validated(self.method, {key: run for key, run in self.runs.items() if key in folds})

    def tasks(self, seed: int) -> list[tuple[str, Counts]]:
        """Each task's metric and counts, over the folds of a seed. RunError if a run recorded none."""
        found: list[tuple[str, Counts]] = []
        for (of, fold), run in self.runs.items():
            if of != seed:
                continue
            found = found or [(task.metric, {}) for task in run.tasks]
            for (_, counts), task in zip(found, run.tasks, strict=True):
                if not task.confusion:
                    raise RunError(f"{run.folder} records no confusion of task '{task.name}'; --redo runs it again")
                counts.update(((fold, index), both) for index, both in counts_of(task).items())
        return found

    @property
    def seconds(self) -> float:
        """Seconds of a run, on average."""
        return fmean(run.seconds["total"] for run in self.runs.values())


@dataclass(frozen=True)
class Estimate:
    """What is expected of a method, in percent: a mean over seeds with its 95 % interval, which rests on ``images`` of
    a seed, and the population standard deviation over ``seeds``."""

    mean: float
    low: float
    high: float
    images: int
    spread: float
    seeds: int


@dataclass(frozen=True)
class Margin:
    """One method minus another on the same images, in points, and the standard error of that."""

    points: float
    error: float


def counts_of(task: TaskScore) -> dict[int, tuple[int, int]]:
    """Right answers and images of each class that was tested."""
    found: dict[int, tuple[int, int]] = {}
    for true, predicted, images in task.confusion:
        right, all_ = found.get(true, (0, 0))
        found[true] = right + images * (true == predicted), all_ + images
    return found


def weights(metric: str, counts: Counts) -> dict[int, float]:
    """What an image of each class weighs in its task's figure: the weights of all images sum to 1."""
    of_class: dict[int, int] = {}
    for (_, index), (_, images) in counts.items():
        of_class[index] = of_class.get(index, 0) + images
    if metric == "C":
        return {index: 1 / (len(of_class) * images) for index, images in of_class.items()}
    return dict.fromkeys(of_class, 1 / sum(of_class.values()))


def share(metric: str, counts: Counts) -> float:
    """A task's figure, 0 to 1."""
    weight = weights(metric, counts)
    return sum(weight[index] * right for (_, index), (right, _) in counts.items())


def equal_images(metric: str, counts: Counts) -> float:
    """How many images, weighed alike, would tell as much as these."""
    weight = weights(metric, counts)
    return 1 / sum(weight[index] ** 2 * images for (_, index), (_, images) in counts.items())


def wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share ``p`` of ``n`` images."""
    middle, half = p + Z**2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)


def estimate(validated: Validated) -> Estimate:
    """What is expected of a method."""
    by_seed = [validated.tasks(seed) for seed in validated.seeds]
    means = [fmean(share(*task) for task in tasks) for tasks in by_seed]
    sizes = [len(tasks) ** 2 / sum(1 / equal_images(*task) for task in tasks) for tasks in by_seed]
    tested = [sum(images for _, counts in tasks for _, images in counts.values()) for tasks in by_seed]
    low, high = wilson(fmean(means), fmean(sizes))
    return Estimate(100 * fmean(means), 100 * low, 100 * high, round(fmean(tested)), 100 * pstdev(means), len(by_seed))


def margin(first: Validated, second: Validated) -> Margin:
    """The first method minus the second, on the images of the folds that both have."""
    both = first.folds() & second.folds()
    one, other = first.within(both), second.within(both)
    points, errors = [], []
    for seed in one.seeds:
        pairs = list(zip(one.tasks(seed), other.tasks(seed), strict=True))
        found = [task_margin(metric, a, b) for (metric, a), (_, b) in pairs]
        points.append(fmean(value for value, _ in found))
        errors.append(math.sqrt(sum(variance for _, variance in found)) / len(found))
    return Margin(100 * fmean(points), 100 * fmean(errors))


def task_margin(metric: str, first: Counts, second: Counts) -> tuple[float, float]:
    """One method's share of a task minus another's, and the variance of that, see the head of this file."""
    weight = weights(metric, first)
    units = [(weight[unit[1]], right - second[unit][0], images) for unit, (right, images) in first.items()]
    points = sum(w * more for w, more, _ in units)
    if len(units) < 2:
        return points, 1.0  # nothing is known
    squares = sum((w * (more - images * points)) ** 2 for w, more, images in units)
    return points, len(units) / (len(units) - 1) * squares


def best(methods: Sequence[Validated]) -> Validated:
    """The method with the highest figure of those that were not given up; of equal ones the first."""
    return max(whole(methods), key=lambda one: round(estimate(one).mean, 6))


def whole(methods: Sequence[Validated]) -> list[Validated]:
    """The methods with all folds: figures of fewer are of other images, and their methods were given up."""
    most = max(len(one.runs) for one in methods)
    return [one for one in methods if len(one.runs) == most]


def choice(methods: Sequence[Validated], default: str) -> Validated:
    """The method to take, see the head of this file."""
    first = best(methods)
    for one in whole(methods):
        if one.method == default and (lead := margin(first, one)).points <= lead.error:
            return one
    return first


def is_behind(slow: Validated, others: Iterable[Validated]) -> bool:
    """True if a slow method may be given up: another is clearly better on the images that both were tested on."""
    leads = (margin(other, slow) for other in others)
    return any(lead.points > RACE * lead.error for lead in leads)


def table(methods: Sequence[tuple[str, Validated]], chosen: str, folds: int) -> Table:
    """A row per method (label, runs): figure, interval, spread over seeds, minus the chosen one, seconds of a run."""
    of_chosen = next(one for _, one in methods if one.method == chosen)
    several = len(of_chosen.seeds) > 1
    header = ["method", "expected accuracy", "95 % interval", *["± over seeds"] * several]
    result = Table([*header, "vs. chosen", "standard error", "seconds per run"], [])
    for label, one in methods:
        found, lead = estimate(one), margin(one, of_chosen)
        done = one.folds()
        label = (
            label
            if done == of_chosen.folds()
            else f"{label} (given up after fold {max(f for _, f in done)} of {folds})"
        )
        same = one.method == chosen
        result.rows.append([
            label,
            percent(found.mean),
            f"[{percent(found.low)}, {percent(found.high)}]",
            *[percent(found.spread)] * several,
            "" if same else signed(lead.points),
            "" if same else percent(lead.error),
            seconds(one.seconds),
        ])  # fmt: skip
        if same:
            result.best.add((len(result.rows) - 1, 1))
    return result
