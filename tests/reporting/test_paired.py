"""Paired differences, compared with SciPy and with values calculated by hand."""

import math
from statistics import fmean, stdev

import pytest

from common.intervals import interval, t_quantile
from reporting.paired import Paired, paired
from reporting.series import make_series
from reporting.tables import paired_table
from runs.results import RunError, read_run

NAN = float("nan")


@pytest.fixture
def series(make_run):
    """series(method, {seed: accuracies}) of finished runs; a seed with None has no run."""

    def make(method, by_seed, **more):
        runs = [read_run(make_run(row, method, seed=s, **more)) for s, row in by_seed.items() if row is not None]
        return make_series(method, tuple(by_seed), runs)

    return make


def around(centre, half):
    return pytest.approx((centre - half, centre + half), abs=1e-9)


# Two-sided 95 % and 99 % points as printed in textbooks.
@pytest.mark.parametrize(
    ("df", "at95", "at99"),
    [(1, 12.706, 63.657), (2, 4.303, 9.925), (3, 3.182, 5.841), (7, 2.365, 3.499), (10, 2.228, 3.169),
     (19, 2.093, 2.861), (30, 2.042, 2.750), (43, 2.017, 2.695), (120, 1.980, 2.617)],
)  # fmt: skip
def test_quantiles_match_textbooks(df, at95, at99):
    assert t_quantile(df) == pytest.approx(at95, abs=6e-4)
    assert t_quantile(df, 0.99) == pytest.approx(at99, abs=6e-4)


def test_quantiles_match_scipy():
    stats = pytest.importorskip("scipy.stats")
    for level in (0.5, 0.95, 0.999):
        for df in (*range(1, 60), 500):
            assert t_quantile(df, level) == pytest.approx(stats.t.ppf((1 + level) / 2, df), rel=1e-10)
    values = [0.3, -1.2, 4.0, 2.2]
    low, high = stats.t.interval(0.95, 3, fmean(values), stats.sem(values))
    assert interval(values) == pytest.approx((low, high), rel=1e-10)


def test_seeds_are_averaged_before_the_interval_over_tasks(series):
    """Tasks differ by +1, +2, +6 with every seed; nine values taken as independent would give half the width."""
    first = series("A", {1: [51.0, 62.5, 76.0], 2: [52.0, 63.0, 77.0], 3: [50.0, 62.0, 75.0]})
    second = series("B", {1: [50.0, 60.0, 70.0], 2: [51.0, 61.0, 71.0], 3: [49.0, 60.5, 69.0]})
    found = paired([(first, second)])
    assert (found.mean, found.over, found.units, found.won, found.tasks) == (3.0, "tasks", 3, 3, 3)
    assert (found.low, found.high) == around(3.0, 4.302652729911275 * stdev([1, 2, 6]) / math.sqrt(3))
    assert (found.pairs, found.requested) == (9, 9) and not found.significant
    turned = paired([(second, first)])
    assert (turned.mean, turned.won, turned.low) == (-3.0, 0, -found.high)


def test_missing_seeds_and_failed_runs_are_ignored_on_both_sides(series):
    first = series("A", {1: [50.0, 60.0], 2: [90.0, 90.0], 3: [54.0, 61.0]})
    second = series("B", {1: [49.0, 58.0], 2: None, 3: [51.0, 60.0]})
    found = paired([(first, second)])
    assert found.mean == fmean([fmean([1, 3]), fmean([2, 1])])
    assert (found.pairs, found.requested) == (4, 6)
    nothing = paired([(first, series("C", {1: None, 2: None, 3: None}))])
    assert math.isnan(nothing.mean) and math.isnan(nothing.low) and not nothing.significant
    assert (nothing.pairs, nothing.requested, nothing.tasks) == (0, 6, 0)
    empty = make_series("D", (1, 2), [])
    assert paired([(empty, empty)]).requested == 0


def test_nan_is_ignored_per_task(series):
    first = series("A", {1: [NAN, 60.0, 5.0], 2: [52.0, 62.0, 5.0]})
    second = series("B", {1: [50.0, 60.0, NAN], 2: [50.0, 61.0, math.inf]})
    found = paired([(first, second)])
    assert (found.pairs, found.requested, found.tasks, found.won, found.even) == (3, 6, 2, 2, 0)
    assert found.mean == fmean([2.0, 0.5])  # a task counts once, regardless of its number of seeds
    assert found.units == 2


def test_a_single_task_has_an_interval_over_seeds(series):
    first, second = series("A", {1: [51.0], 2: [53.0], 3: [52.0]}), series("B", {s: [50.0] for s in (1, 2, 3)})
    found = paired([(first, second)])
    assert (found.over, found.units, found.won, found.tasks) == ("seeds", 3, 1, 1)
    assert (found.low, found.high) == around(2.0, 4.302652729911275 / math.sqrt(3))
    alone = paired([(series("C", {1: [51.0]}), second)])
    assert alone.mean == 1.0 and math.isnan(alone.low) and not alone.significant
    # If only one of several tasks has values, there is no interval over seeds.
    one_left = paired([(series("D", {1: [1.0, NAN], 2: [2.0, NAN]}), series("E", {1: [1.0, 1.0], 2: [1.0, 1.0]}))])
    assert (one_left.over, one_left.tasks) == ("tasks", 1) and math.isnan(one_left.low)


def test_forty_four_tasks(series):
    gains = [math.sin(i) + 0.4 for i in range(44)]
    first = series("A", {s: [50 + g + s for g in gains] for s in (1, 2, 3)})
    second = series("B", {s: [50.0 + s] * 44 for s in (1, 2, 3)})
    found = paired([(first, second)])
    half = 2.0166921992278248 * stdev(gains) / math.sqrt(44)
    assert (found.low, found.high) == around(fmean(gains), half) and found.significant
    assert (found.won, found.tasks, found.pairs) == (sum(g > 0 for g in gains), 44, 132)


def test_over_shot_counts_a_task_counts_once(series):
    """Two shot counts do not double the number of tasks, and a missing seed does not change their weights."""
    second = [series("B", {1: [50.0, 50.0], 2: [50.0, 50.0]}, shots=n) for n in (1, 2)]
    first = [series("A", {1: [51.0, 52.0], 2: [51.0, 52.0]}, shots=1), series("A", {1: [55.0, 58.0], 2: None}, shots=2)]
    found = paired(list(zip(first, second, strict=True)))
    assert found.mean == fmean([3.0, 5.0]) and found.units == 2
    assert (found.pairs, found.requested) == (6, 8)
    one = [series("C", {1: [g], 2: [g + 1]}, shots=n) for n, g in ((1, 3.0), (2, 5.0))]
    other = [series("D", {1: [0.0], 2: [0.0]}, shots=n) for n in (1, 2)]
    found = paired(list(zip(one, other, strict=True)))
    assert (found.over, found.units, found.mean) == ("seeds", 2, 4.5)
    assert (found.low, found.high) == around(4.5, 12.706204736174698 * 0.5)


def test_zero_shot_is_paired_with_every_seed(series):
    zero = series("Z", {1: [50.0, 60.0]}, shots=-1)
    first = series("A", {1: [51.0, 60.0], 2: [53.0, 60.0], 3: [52.0, 60.0]})
    found = paired([(first, zero)])
    assert (found.mean, found.pairs, found.requested, found.won, found.even) == (1.0, 6, 6, 1, 1)
    assert paired([(zero, first)]).mean == -1.0
    other = series("Y", {1: [51.0, 61.0]}, shots=-1)
    assert paired([(other, zero)]).pairs == 2


def test_other_tasks_are_refused(series):
    with pytest.raises(RunError, match="different tasks"):
        paired([(series("A", {1: [1.0, 2.0]}), series("B", {1: [1.0]}))])


def test_the_mark_and_the_sign_agree_if_values_round_to_zero():
    def row(low, high):
        d = Paired((low + high) / 2, low, high, "tasks", 8, 5, 1, 8, 24, 24)
        return paired_table([("A", "4", d)]).rows[0]

    assert row(-0.04, 0.9)[2:4] == ["[-0.0, +0.9]", ""]
    assert row(0.04, 0.9)[2:4] == ["[+0.0, +0.9]", "*"]
    assert row(-0.9, -0.04)[2:4] == ["[-0.9, -0.0]", "*"]
    assert row(0.0, 0.9)[3] == "" and row(0.0, 0.9)[5] == "5 of 8, 1 even"
