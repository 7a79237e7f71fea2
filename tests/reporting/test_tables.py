import math
from dataclasses import replace

import pytest

from reporting.measures import MEASURES
from reporting.series import guessed, make_series
from reporting.tables import CHANCE, Table, method_table, seconds, seed_table, series_table, shots_table, tasks_as_rows
from runs.results import read_run


@pytest.fixture
def make_series_of(make_run):
    def make(method, rows, seeds=(1, 2, 3), **more):
        runs = [read_run(make_run(row, method=method, seed=s, **more)) for s, row in zip(seeds, rows, strict=False)]
        return make_series(method, seeds, runs)

    return make


def with_classes(series, *counts):
    """The series, whose runs recorded these numbers of classes."""

    def of(run):
        tasks = tuple(replace(task, classes=n) for task, n in zip(run.tasks, counts, strict=True))
        return replace(run, tasks=tasks)

    return replace(series, runs=tuple(map(of, series.runs)))


def test_chance_is_what_guessing_gives_by_either_metric(make_series_of):
    series = make_series_of("A", [[50, 80], [52, 80]], names=["petal colour", "leaf"], metrics=["A", "C"])
    assert guessed([series]) == []  # these runs did not record their classes
    known = with_classes(series, 8, 3)
    assert guessed([known]) == pytest.approx([12.5, 100 / 3])
    assert guessed([series, known]) == guessed([known])
    assert guessed([make_series("none", (1,), [])]) == []
    # A task whose number of classes is not known, or not the same in all runs, has no figure.
    one, two = guessed([with_classes(series, None, 3)])
    assert math.isnan(one) and two == pytest.approx(100 / 3)
    assert math.isnan(guessed([known, with_classes(series, 4, 3)])[0])
    for name in ("ece", "ece-uncalibrated"):
        assert guessed([replace(known, measure=MEASURES[name])]) == []


def test_chance_is_a_column_before_the_seeds(make_series_of):
    series = make_series_of("A", [[50, 80], [52, 80], [54, 80]], names=["petal colour", "leaf"], metrics=["A", "C"])
    table = seed_table(with_classes(series, 8, 3), [60.0, 81.0])
    assert table.header == ["task", "metric", "chance", "seed 1", "seed 2", "seed 3", "mean ± std", "together"]
    assert [row[:4] for row in table.rows] == [
        ["petal colour", "overall", "12.5", "50.0"],
        ["leaf", "class mean", "33.3", "80.0"],
        ["mean", "", "22.9", "65.0"],
    ]
    assert {len(row) for row in table.rows} == {8}
    partly = seed_table(with_classes(series, None, 3))
    assert [row[2] for row in partly.rows] == ["", "33.3", ""]
    assert "chance" not in seed_table(series).header
    ece = replace(with_classes(series, 8, 3), measure=MEASURES["ece"])
    assert "chance" not in seed_table(ece).header


def test_chance_is_the_first_row_of_methods_and_never_the_best(make_series_of):
    low = with_classes(make_series_of("A", [[1.0, 50.0]], (1,)), 8, 3)
    high = with_classes(make_series_of("B", [[2.0, 20.0]], (1,)), 8, 3)
    table = method_table([("A", low), ("B", high)])
    assert table.rows[0] == [CHANCE, "12.5", "33.3", "22.9", "", ""]
    assert [row[0] for row in table.rows] == [CHANCE, "A", "B"]
    assert table.best == {(2, 1), (1, 2), (1, 3)} and table.second == {(1, 1), (2, 2), (2, 3)}
    assert method_table([("A", low)]).best == set()  # it is not compared with chance
    tall = tasks_as_rows(table)
    assert tall.header == ["method", "chance", "A", "B"] and tall.rows[0][1:] == ["12.5", "1.0", "2.0"]
    assert [row[1] for row in tall.rows] == ["12.5", "33.3", "22.9", "", ""] and tall.rules == {2}


def test_chance_is_the_first_row_at_several_shot_counts(make_series_of):
    rows = [(m, [with_classes(make_series_of(m, [[v, v]], (1,), shots=n), 4, 4) for n in (1, 2)])
            for m, v in (("A", 10.0), ("B", 20.0))]  # fmt: skip
    table = shots_table(rows, [1, 2])
    assert table.rows == [
        [CHANCE, "25.0", "25.0", ""],
        ["A", "10.0", "10.0", "8,390,656"],
        ["B", "20.0", "20.0", "8,390,656"],
    ]
    assert table.best == {(2, 1), (2, 2)}
    of_errors = [(label, [replace(one, measure=MEASURES["ece"]) for one in row]) for label, row in rows]
    assert [row[0] for row in series_table(of_errors, ["1 shot", "2 shots"]).rows] == ["A", "B"]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_seed_table(make_series_of):
    series = make_series_of("A", [[50, 80], [52, 80], [54, 80]], names=["petal colour", "leaf"], metrics=["A", "C"])
    table = seed_table(series)
    assert table.rows == [
        ["petal colour", "overall", "50.0", "52.0", "54.0", "52.0 ± 1.6"],
        ["leaf", "class mean", "80.0", "80.0", "80.0", "80.0 ± 0.0"],
        ["mean", "", "65.0", "66.0", "67.0", "66.0 ± 0.8"],
    ]
    lines = table.text().splitlines()
    assert len({line.index("± ") for line in lines if "± 0" in line or "± 1" in line}) == 1
    assert lines[-2] == "-" * len(lines[-2])


def test_a_mean_over_fewer_seeds_has_a_note(make_series_of):
    series = make_series_of("A", [[50.0], [52.0]])
    assert "mean ± std (2 of 3 seeds)" in seed_table(series).markdown()
    assert "(2 of 3 seeds)" in seed_table(series).text().splitlines()[1]
    assert method_table([("A", series)]).rows[0][0] == "A (2 of 3 seeds)"
    assert shots_table([("A", [series])], [4]).rows[0][1] == "51.0 ± 1.0 (2 of 3 seeds)"


def test_one_seed_has_no_deviation(make_series_of):
    series = make_series_of("A", [[50.0]], seeds=(1,))
    assert seed_table(series).header == ["task", "metric", "accuracy"]
    assert seed_table(series).rows[-1] == ["mean", "", "50.0"]
    assert method_table([("A", series)]).rows[0][2] == "50.0"


def test_method_table_marks_the_best_and_keeps_methods_without_runs(make_series_of):
    first = make_series_of("A", [[50.0, 80.04]], seeds=(1,))
    second = make_series_of("B", [[60.0, 80.0]], seeds=(1,))
    nothing = make_series("C", (1,), [])
    table = method_table([("A", first), ("B", second), ("C", nothing)])
    # 80.04 and 80.0 are printed alike, so both are the best.
    assert table.best == {(1, 1), (0, 2), (1, 2), (1, 3)}
    assert table.rows[2] == ["C (no finished run)", "-", "-", "-", "-", "-"]
    assert cells(table.markdown().splitlines()[3])[1] == "**60.0**"
    assert "\033[1m60.0\033[0m" in table.text(bold=True)
    assert "\033" not in table.text()


def test_nan_is_a_dash_and_not_the_best(make_series_of):
    nan, number = make_series_of("A", [[float("nan")]], (1,)), make_series_of("B", [[9.0]], (1,))
    table = method_table([("A", nan), ("B", number)])
    assert table.rows[0][1:3] == ["-", "-"]
    assert table.best == set()


def test_a_wide_table_is_transposed(make_series_of):
    names = [f"attribute number {i}" for i in range(44)]
    series = [(m, make_series_of(m, [[float(i) for i in range(44)]], (1,), names=names)) for m in "AB"]
    wide = method_table(series)
    tall = tasks_as_rows(wide)
    assert tall.header == ["method", "A", "B"]
    assert tall.rows[43] == ["attribute number 43", "43.0", "43.0"]
    assert tall.rows[44][0] == "mean ± std"
    assert tall.best == {(i, j) for i in range(45) for j in (1, 2)}
    assert tall.text().splitlines()[46].startswith("---")


def test_shots_table(make_series_of):
    rows = [("A", [make_series_of("A", [[10.0 * n]], (1,), shots=n) for n in (1, 2)]),
            ("B", [make_series_of("B", [[15.0]], (1,), shots=1), make_series("B", (1,), [])])]  # fmt: skip
    table = shots_table(rows, [1, 2])
    assert table.header == ["method", "1 shot", "2 shots", "parameters"]
    assert table.rows == [["A", "10.0", "20.0", "8,390,656"], ["B", "15.0", "-", "8,390,656"]]
    assert table.best == {(1, 1)}


def test_wide_characters_stay_aligned_and_bars_are_escaped_in_markdown():
    table = Table(["task", "value"], [["花的颜色", "1.0"], ["a|b", "22.0"]])
    first, second = table.text().splitlines()[-2:]
    assert first == "花的颜色    1.0"
    assert second == "a|b        22.0"
    assert "a\\|b" in table.markdown()


@pytest.mark.parametrize(("value", "shown"), [(1.26, "1.3"), (99.94, "99.9"), (1234.5, "1,234"), (float("nan"), "-")])
def test_seconds(value, shown):
    assert seconds(value) == shown
