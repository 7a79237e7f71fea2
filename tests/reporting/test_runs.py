import math

import pytest

from common.paths import LOG, RESULTS
from reporting.series import Stat, make_series
from runs.results import RunError, find_runs, read_run


def test_a_finished_run_is_read(make_run):
    run = read_run(make_run([50.0, 70.0], seed=3, shots=16))
    assert (run.method, run.shots, run.seed, run.parameters) == ("SoftCPT-NATA", 16, 3, 8390656)
    assert run.mean == 60.0
    assert run.seconds["total"] == 12.5


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "JSON"),
        (b'{"finished": true, "meth', "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[1, 2]", "not finished"),
        (b'{"finished": false}', "not finished"),
        (b'{"finished": "true"}', "not finished"),
        (b'{"finished": true}', "no usable 'tasks'"),
        (b'{"finished": true, "tasks": []}', "no tasks"),
        (b'{"finished": true, "tasks": ["petal"]}', "no usable 'name'"),
    ],
)
def test_an_unfinished_run_is_reported_in_one_line(tmp_path, content, part):
    (tmp_path / RESULTS).write_bytes(content)
    with pytest.raises(RunError) as error:
        read_run(tmp_path)
    assert part in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"seed": "1"}, {"seed": True}, {"counts": {}}, {"seconds": {"train": 1.0}}])
def test_fields_of_a_wrong_type_are_errors(make_run, change):
    folder = make_run([50.0], shots=1)
    other = make_run([50.0], shots=2, **change)
    assert read_run(folder).seed == 1
    with pytest.raises(RunError, match="no usable"):
        read_run(other)


def test_unfinished_and_corrupt_runs_are_skipped_with_a_note(make_run, tmp_path):
    make_run([50.0], seed=1)
    killed = tmp_path / "garden8" / "killed" / "seed1"
    killed.mkdir(parents=True)
    (killed / LOG).write_text("epoch 3")
    corrupt = make_run([50.0], seed=2)
    (corrupt / RESULTS).write_text("{")
    found, skipped = find_runs(tmp_path)
    assert [run.seed for run in found] == [1]
    assert len(skipped) == 2
    assert any(str(killed) in line and f"no {RESULTS}" in line for line in skipped)
    assert any(str(corrupt) in line and "JSON" in line for line in skipped)


def test_population_deviation():
    stat = Stat.of([1.0, 2.0, 3.0])
    assert stat.mean == 2.0
    assert stat.std == pytest.approx(math.sqrt(2 / 3))  # the sample deviation would be 1
    assert math.isnan(Stat.of([1.0, math.nan]).mean)
    assert math.isnan(Stat.of([]).mean)


def test_a_series_is_sorted_by_seed_and_notes_missing_ones(make_run):
    runs = [read_run(make_run([float(seed)], seed=seed)) for seed in (3, 1)]
    series = make_series("SoftCPT-NATA", [1, 2, 3], runs)
    assert [run.seed for run in series.runs] == [1, 3]
    assert series.note == "(2 of 3 seeds)"
    assert make_series("SoftCPT-NATA", [3, 1], runs).note == ""
    assert make_series("SoftCPT-NATA", [1, 2, 3], []).note == "(no finished run)"


def test_runs_with_different_tasks_cannot_be_in_a_series(make_run):
    runs = [read_run(make_run([1.0, 2.0], seed=1)), read_run(make_run([1.0], seed=2))]
    with pytest.raises(RunError, match="different tasks"):
        make_series("SoftCPT-NATA", [1, 2], runs)
    with pytest.raises(RunError, match="both have seed 1"):
        make_series("SoftCPT-NATA", [1], [runs[0], runs[0]])
