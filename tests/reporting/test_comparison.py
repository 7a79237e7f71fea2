"""Comparisons for a terminal, with few or many methods and tasks."""

import pytest

from reporting.comparison import FEW, differences, one_shot_count, several_shot_counts
from reporting.series import make_series
from reporting.tables import SHORT_NOTES, Table
from runs.results import read_run

PETALS = ["petal colour", "petal shape", "petal count", "centre colour", "leaf shape", "leaf arrangement", "setting",
          "weather"]  # fmt: skip
FORTY_FOUR = [f"attribute number {i}" for i in range(1, 45)]


@pytest.fixture
def many(make_run):
    """many(task names, methods, seeds of the first method) gives (label, series) rows."""

    def make(names, count, seeds=(1, 2)):
        rows = []
        for m in range(count):
            runs = [
                read_run(make_run([10.0 * m + s + i / 8 for i in range(len(names))], f"M{m}", seed=s, names=names))
                for s in (seeds if m == 0 else (1, 2))
            ]
            rows.append((f"Some method {m} (of many)", make_series(f"M{m}", (1, 2), runs)))
        return rows

    return make


def widest(text):
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize(("columns", "last"), [(200, "pairs"), (81, "tasks won"), (20, "")])
def test_differences_fit_without_the_last_columns(columns, last):
    rows = [["CoOp-CA (per task)", "16", "-5.3", "[-10.8, +0.1]", "*", "4 tasks", "1 of 4", "12"]]
    heads = ["method", "shots", "difference", "95 % interval", "", "interval over", "tasks won", "pairs"]
    text = differences(Table(heads, rows), columns)
    assert "-5.3  [-10.8, +0.1]  *" in text  # at any width
    assert text.splitlines()[0].rstrip().endswith(last) if last else "won" not in text
    assert widest(text) <= max(columns, 60)


def test_few_methods_become_columns(many):
    text = one_shot_count(many(PETALS, FEW), 100)
    assert text.splitlines()[-1].startswith("seconds a run") and "leaf arrangement" in text


@pytest.mark.parametrize("count", [FEW + 1, 9])
def test_many_methods_stay_rows_and_tasks_are_numbered(many, count):
    rows = many(PETALS, count)
    named = one_shot_count(rows, 200)
    assert "Tasks:" not in named and "petal colour" in named.splitlines()[1]
    text = one_shot_count(rows, 120)
    assert widest(text) <= 120
    head = text.splitlines()[0]
    assert head.split() == ["method", *"12345678", "mean", "±", "std", "parameters", "seconds", "a", "run"]
    assert text.endswith("Tasks: 1 petal colour, 2 petal shape, 3 petal count, 4 centre colour, 5 leaf shape, "
                         "6 leaf arrangement, 7 setting,\n8 weather")  # fmt: skip
    line = next(line for line in text.splitlines() if line.startswith("Some method 3"))
    accuracies = [f"{31.5 + i / 8:.1f}" for i in range(8)]
    assert line.split()[5:] == [*accuracies, "31.9", "±", "0.5", "8,390,656", "12.5"]


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_many_methods_and_tasks_show_means_first_and_each_accuracy_once(many, columns):
    text = one_shot_count(many(FORTY_FOUR, 7), columns)
    assert widest(text) <= columns
    top, *parts = text.split("\n\n")
    assert top.splitlines()[0].split() == ["method", "mean", "±", "std", "parameters", "seconds", "a", "run"]
    accuracies = [line.split()[5:] for line in text.splitlines() if line.startswith("Some method 4")]
    assert accuracies[0] == ["44.2", "±", "0.5", "8,390,656", "12.5"]
    assert [cell for cells in accuracies[1:] for cell in cells] == [f"{41.5 + i / 8:.1f}" for i in range(44)]
    names = ", ".join(part.replace("\n", " ").removeprefix("Tasks: ") for part in parts if part.startswith("Tasks:"))
    assert not names or names == ", ".join(f"{i} {name}" for i, name in enumerate(FORTY_FOUR, 1))


def test_the_best_is_bold_in_every_part(many):
    text = one_shot_count(many(FORTY_FOUR, 7), 100, bold=True)
    assert text.count("\033[1m") == 45


def test_missing_seeds_have_short_notes(many):
    rows = many(PETALS, 7, seeds=(2,)) + [("None of these", make_series("X", (1, 2), []))]
    text = one_shot_count(rows, 120)
    assert "Some method 0 (of many) [1]" in text and "None of these [0]" in text
    assert text.endswith(SHORT_NOTES)
    by_shots = several_shot_counts([(label, [series, series]) for label, series in rows], [1, 2])
    assert by_shots.count(" [1]") == 2 and widest(by_shots) <= 120
    assert SHORT_NOTES not in one_shot_count(rows[1:7], 120)


def test_one_task_with_a_long_name(many):
    assert one_shot_count(many(["word " * 40], 7), 40).count("word") == 40
