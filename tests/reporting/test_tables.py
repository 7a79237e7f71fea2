import pytest

from reporting.series import make_series
from reporting.tables import Table, method_table, seconds, seed_table, shots_table
from runs.results import read_run


@pytest.fixture
def make_series_of(make_run):
    def make(method, rows, seeds=(1, 2, 3), **more):
        runs = [read_run(make_run(row, method=method, seed=s, **more)) for s, row in zip(seeds, rows, strict=False)]
        return make_series(method, seeds, runs)

    return make


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
    assert wide.fit_width(10_000) is wide
    tall = wide.fit_width(100, rules=[44])
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
