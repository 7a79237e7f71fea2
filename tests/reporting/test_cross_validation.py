"""Cross-validated methods: figures and intervals by hand, and which method is taken."""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import fmean

import pytest

from reporting import cross_validation
from reporting.cross_validation import Validated, choice, estimate, is_behind, margin, wilson
from runs.results import Run, RunError, TaskScore

Rows = list[tuple[int, int, int]]


def task(rows: Rows, metric: str = "A") -> TaskScore:
    return TaskScore("t", metric, 0.0, confusion=tuple(rows))


def run(*tasks: TaskScore, seconds: float = 2.0) -> Run:
    cost = {"train": 1.0, "test": 0.5, "total": seconds}
    return Run(Path("somewhere"), "m", "d", "c", "b", 4, 1, tasks, 0, cost)


def one_task(method: str, folds: list[Rows], metric: str = "A", seed: int = 1) -> Validated:
    return Validated(method, {(seed, k): run(task(rows, metric)) for k, rows in enumerate(folds, start=1)})


def right(many: int, of: int = 10, classes: int = 2) -> Rows:
    """A fold in which ``many`` of each class's images are right."""
    rows = [(c, c if same else (c + 1) % classes, n) for c in range(classes) for same, n in ((1, many), (0, of - many))]
    return [row for row in rows if row[2]]


# Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_as_published(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)


def test_a_figure_is_pooled_over_folds_by_the_tasks_metric() -> None:
    folds: list[Rows] = [[(0, 0, 3), (1, 0, 1)], [(0, 0, 2), (0, 1, 1), (1, 1, 1)]]
    overall, by_class = (estimate(one_task("m", folds, metric)) for metric in "AC")
    assert overall.mean == pytest.approx(100 * 6 / 8) and by_class.mean == pytest.approx(100 * (5 / 6 + 1 / 2) / 2)
    assert overall.images == by_class.images == 8 and overall.seeds == 1 and overall.spread == 0
    assert (overall.low, overall.high) == pytest.approx([100 * x for x in wilson(6 / 8, 8)])
    n = 2**2 / (1 / 6 + 1 / 2)
    assert (by_class.low, by_class.high) == pytest.approx([100 * x for x in wilson((5 / 6 + 1 / 2) / 2, n)])


def test_tasks_weigh_alike_and_the_interval_knows_their_sizes() -> None:
    small, large = task([(0, 0, 1), (0, 1, 3)]), task([(0, 0, 90), (0, 1, 10)])
    found = estimate(Validated("m", {(1, 1): run(small, large)}))
    assert found.mean == pytest.approx(100 * (0.25 + 0.9) / 2) and found.images == 104
    n = 2**2 / (1 / 4 + 1 / 100)
    assert (found.low, found.high) == pytest.approx([100 * x for x in wilson(0.575, n)])


def test_seeds_do_not_make_the_interval_narrower() -> None:
    runs = {(seed, k): run(task(right(seed + 3))) for seed in (1, 3) for k in (1, 2)}
    found = estimate(Validated("m", runs))
    assert found.mean == pytest.approx(50) and found.spread == pytest.approx(10) and found.images == 40
    assert (found.low, found.high) == pytest.approx([100 * x for x in wilson(0.5, 40)])


def test_the_standard_error_of_a_difference_is_that_of_repeated_draws() -> None:
    """Many draws of images on which two methods mostly agree: the spread of the difference is the standard error."""
    draws = random.Random(0)
    points, errors = [], []
    for _ in range(400):
        runs: dict[str, list[TaskScore]] = {"a": [], "b": []}
        for metric in "AC":
            rows: dict[str, Rows] = {"a": [], "b": []}
            for c in range(40):
                hard = draws.random() < 0.4
                for name, slip in (("a", 0.1), ("b", 0.2)):
                    wrong = hard != (draws.random() < slip)
                    rows[name].append((c, 40 if wrong else c, 1))
            for name in "ab":
                runs[name].append(task(rows[name], metric))
        found = margin(*(Validated(name, {(1, 1): run(*runs[name])}) for name in "ab"))
        points.append(found.points)
        errors.append(found.error)
    spread = math.sqrt(fmean((x - fmean(points)) ** 2 for x in points))
    assert fmean(errors) == pytest.approx(spread, rel=0.08)
    assert spread < 6 < 100 * math.sqrt(2 * 0.25 / 80)  # as if each method had images of its own


def test_equal_methods_differ_by_nothing() -> None:
    one, other = (one_task(name, [right(5), right(7)]) for name in "ab")
    assert margin(one, other) == cross_validation.Margin(0.0, 0.0)
    assert choice([one, other], "a").method == "a" and choice([one, other], "b").method == "b"


def many_classes(method: str, wrong: int, folds: int = 4) -> Validated:
    """Ten classes, an image of each in every fold; the first ``wrong`` of the classes are not recognised."""
    rows: list[Rows] = [[(c, (c < wrong) + c if c < 9 else c, 1) for c in range(10)]] * folds
    return one_task(method, rows)


def test_the_default_is_kept_within_one_standard_error() -> None:
    best, near, far = many_classes("best", 2), many_classes("near", 3), many_classes("far", 6)
    lead = margin(best, near)
    assert lead.points == pytest.approx(10) and 0 < lead.error < 10
    assert choice([near, far, best], "near").method == "best"  # 10 points are more than their error
    first = one_task("first", [right(6), right(6)])
    second = one_task("second", [right(7), right(5, classes=2)])
    assert choice([first, second], "second").method == "second"
    assert choice([near, far, best], "not compared").method == "best"


def test_a_method_that_is_clearly_behind_is_given_up_and_never_taken() -> None:
    good = many_classes("good", 2)
    assert is_behind(many_classes("bad", 8, folds=1), [good])
    assert not is_behind(many_classes("near", 3, folds=1), [good])
    assert not is_behind(good, [many_classes("bad", 8)]) and not is_behind(good, [])
    easy = one_task("easy", [[(c, c, 1) for c in range(10)]])  # one fold alone, all right
    assert choice([good, easy], "easy").method == "good"
    table = cross_validation.table([("Good", good), ("Easy", easy)], "good", 4)
    assert [row[0] for row in table.rows] == ["Good", "Easy (given up after fold 1 of 4)"]


def test_the_table() -> None:
    good, bad = many_classes("good", 2), many_classes("bad", 8)
    table = cross_validation.table([("Good", good), ("Bad", bad)], "good", 4)
    assert table.rows[0][:4] == ["Good", "80.0", "[65.2, 89.5]", ""]
    assert table.rows[1][1] == "20.0" and table.rows[1][3] == "-60.0" and table.rows[1][-1] == "2.0"
    assert table.best == {(0, 1)} and len(table.header) == 6
    runs = {(seed, fold): run for seed in (1, 2) for (_, fold), run in good.runs.items()}
    several = cross_validation.table([("Good", Validated("good", runs))], "good", 4)
    assert several.header[3] == "± over seeds" and several.rows[0][3] == "0.0"


def test_a_run_without_counts_is_named() -> None:
    with pytest.raises(RunError, match="somewhere records no confusion of task 't'"):
        estimate(one_task("m", [[]]))
