import math
import re
from dataclasses import replace

import pytest

from common.paths import EVALUATION, RESULTS
from reporting.protocols import (
    HeldOut,
    base_to_new_report,
    base_to_new_summary,
    base_to_new_table,
    harmonic_mean,
    new_tasks_report,
    new_tasks_summary,
    new_tasks_table,
)
from reporting.series import make_series
from runs.results import RunError, find_runs, read_run

NAN = float("nan")


@pytest.fixture
def make_series_of(make_run):
    def make(part, rows, seeds=(1, 2), names=("a", "b")):
        runs = [
            read_run(make_run(row, method=part, seed=seed, names=list(names), metrics=["A", "C"]))
            for seed, row in zip(seeds, rows, strict=True)
            if row
        ]
        return make_series(part, seeds, runs)

    return make


def test_harmonic_mean():
    assert harmonic_mean(60, 30) == pytest.approx(40) and harmonic_mean(50, 50) == 50
    assert harmonic_mean(0, 0) == 0 == harmonic_mean(80, 0) and math.isnan(harmonic_mean(NAN, 5))


def test_h_of_the_mean_row_is_that_of_the_means(make_series_of):
    base = make_series_of("base", [[90, 50], [90, 70]])
    new = make_series_of("new", [[30, 50], [30, 70]])
    table = base_to_new_table(base, new)
    assert table.rows[0] == ["a", "overall", "90.0 ± 0.0", "30.0 ± 0.0", "45.0 ± 0.0"]
    assert table.rows[1] == ["b", "class mean", "60.0 ± 10.0", "60.0 ± 10.0", "60.0 ± 10.0"]
    # Means 75 and 45: 56.2; the mean of the tasks' H would be 52.5. Seeds: H(70, 40) = 50.9 and H(80, 50) = 61.5.
    assert table.rows[2] == ["mean", "", "75.0 ± 5.0", "45.0 ± 5.0", "56.2 ± 5.3"]
    assert table.rules == {2}


def test_only_seeds_with_both_parts_count_and_a_note_says_so(make_series_of):
    base = make_series_of("base", [[90, 50], [10, 10]])
    new = make_series_of("new", [[30, 50], None])
    table, notes = base_to_new_report(base, new)
    assert table.splitlines()[1].split("  ")[-1].strip() == "(1 of 2 seeds)"
    assert "90.0" in table and "10.0" not in table
    assert "No finished run on new classes with seed 2." in notes and "base classes with seed" not in notes
    one = base_to_new_table(make_series_of("one", [[90, 50]], (1,)), make_series_of("two", [[30, 50]], (1,)))
    assert one.header == ["task", "metric", "base", "new", "H"] and one.rows[0][2:] == ["90.0", "30.0", "45.0"]
    nothing = make_series("none", (1, 2), [])
    assert base_to_new_report(nothing, nothing) == ["No finished run."]


def test_nan_has_a_note(make_series_of):
    base = make_series_of("base", [[90, 50], [90, 50]])
    new = make_series_of("new", [[30, 50], [NAN, 50]])
    table, notes = base_to_new_report(base, new)
    assert [line.split() for line in table.splitlines()][2] == ["a", "overall", "90.0", "±", "0.0", "-", "-"]
    assert "Not a number: a (new classes, seed 2, " in notes
    with pytest.raises(RunError, match="different tasks"):
        base_to_new_table(base, make_series_of("other", [[1, 2], [1, 2]], names=("a", "c")))


def test_new_tasks(make_run):
    zero_shot = read_run(make_run([40, 60, 50], method="Z", shots=0, names=list("abc")))

    def tested(names, rows):
        return {
            seed: read_run(make_run(row, method="S" + names, seed=seed, names=list(names)))
            for seed, row in rows.items()
        }

    parts = [HeldOut((0, 2), tested("ac", {1: [42, 50], 2: [44, NAN]})), HeldOut((1,), tested("b", {1: [50]}))]
    assert new_tasks_table(zero_shot, parts, [1, 2]).rows == [
        ["a", "overall", "43.0 ± 1.0", "40.0", "+3.0"],
        ["b", "overall", "50.0 (1 of 2 seeds)", "60.0", "-10.0"],
        ["c", "overall", "-", "50.0", "-"],
        ["mean", "", "47.3 (1 of 2 seeds)", "50.0", "-2.7"],
    ]
    _, notes = new_tasks_report(zero_shot, parts, [1, 2])
    assert "Held out together: a, c; b." in notes and "No finished test of b with seed 2." in notes
    assert "Not a number: c (held out, seed 2, " in notes
    # Without zero-shot CLIP, and without any test.
    table, notes = new_tasks_report(None, [parts[0], HeldOut((1,), {})], [1, 2], list("abc"))
    assert "Zero-shot CLIP has no finished run." in notes
    of_b = next(line for line in table.splitlines() if line.startswith("b "))
    assert of_b.split() == ["b", "-", "(0", "of", "2", "seeds)", "-", "-"]
    assert new_tasks_report(None, [HeldOut((1,), {})], [1], list("abc")) == ["No finished run."]
    # All tasks of another collection, one of which is not new.
    whole = HeldOut(None, tested("abc", {1: [41, 61, 51]}), trained_on=("x", "b"))
    table, notes = new_tasks_report(zero_shot, [whole], [1])
    assert table.splitlines()[-1].split() == ["mean", "51.0", "50.0", "+1.0"]
    assert re.search(r"Not new: .* \(b\)\.", notes)
    with pytest.raises(RunError, match="different tasks"):
        new_tasks_report(zero_shot, [HeldOut((1, 2), parts[0].runs)], [1, 2])


def with_classes(run, *counts):
    """The run, which recorded these numbers of classes."""
    return replace(run, tasks=tuple(replace(task, classes=n) for task, n in zip(run.tasks, counts, strict=True)))


def test_chance_among_base_and_among_new_classes(make_series_of):
    base = make_series_of("base", [[90, 50], [90, 70]])
    new = make_series_of("new", [[30, 50], [30, 70]])
    base = replace(base, runs=tuple(with_classes(run, 4, 3) for run in base.runs))
    new = replace(new, runs=tuple(with_classes(run, 2, 2) for run in new.runs))
    table = base_to_new_table(base, new)
    assert table.header[:5] == ["task", "metric", "base chance", "new chance", "base"]
    assert [row[2:5] for row in table.rows] == [
        ["25.0", "50.0", "90.0 ± 0.0"],
        ["33.3", "50.0", "60.0 ± 10.0"],
        ["29.2", "50.0", "75.0 ± 5.0"],
    ]
    summary = base_to_new_summary([("A", base, new), ("B", base, new)])
    assert summary.rows[0] == ["Chance", "29.2", "50.0", "36.8"]  # H(29.17, 50)
    assert summary.rows[1] == ["A", "75.0 ± 5.0", "45.0 ± 5.0", "56.2 ± 5.3"]
    assert {row for row, _ in summary.best} == {1, 2}  # although chance on new classes is above 45


def test_chance_on_held_out_tasks(make_run):
    def run(row, names, *counts, **more):
        return with_classes(read_run(make_run(row, names=list(names), **more)), *counts)

    zero_shot = run([40, 60, 50], "abc", 4, 5, None, method="Z", shots=0)
    parts = [
        HeldOut((0, 2), {1: run([42, 50], "ac", 4, 10, method="S", seed=1)}),
        HeldOut((1,), {1: run([50], "b", 5, method="T", seed=1)}),
    ]
    table = new_tasks_table(zero_shot, parts, [1])
    assert table.header == ["task", "metric", "chance", "held out", "zero-shot", "difference"]
    assert [row[2:4] for row in table.rows] == [["25.0", "42.0"], ["20.0", "50.0"], ["10.0", "50.0"], ["18.3", "47.3"]]
    summary = new_tasks_summary([("A", table), ("B", table)])
    assert summary.rows == [
        ["Chance", "18.3", "18.3", ""],
        ["A", "47.3", "50.0", "-2.7"],
        ["B", "47.3", "50.0", "-2.7"],
    ]
    assert summary.best == {(1, 1), (2, 1)}
    unknown = new_tasks_table(zero_shot, [HeldOut((0, 2), {}), parts[1]], [1])
    assert [row[2] for row in unknown.rows] == ["25.0", "20.0", "", ""]


def test_an_evaluation_is_not_a_run(make_run, tmp_path):
    folder = make_run([50.0])
    (folder / RESULTS).rename(folder / EVALUATION)
    run = read_run(folder, EVALUATION)
    assert run.mean == 50.0 and run.checkpoint == "1"
    assert find_runs(tmp_path) == ([], [])
    (folder / EVALUATION).write_text("{")
    with pytest.raises(RunError, match=f"{EVALUATION} cannot be read"):
        read_run(folder, EVALUATION)
