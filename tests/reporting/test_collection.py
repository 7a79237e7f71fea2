"""A collection's folder: groups of comparable runs, and notes on missing seeds."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from common.catalogue import METHODS
from common.paths import CONFIG, LOCK, LOG, RESULTS, TESTED, TRACEBACK
from reporting.collection import read_collection
from reporting.overview import by_shots, by_task, differences
from reporting.page import page
from runs.results import RunError

HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1]); lock.acquire(); print("held", flush=True); time.sleep(60)
"""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "garden8"


def moved(folder, config):
    """Move a run to the folder of another config."""
    target = folder.parents[1].with_name(config) / folder.parent.name / folder.name
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    return target


def test_every_mean_over_fewer_seeds_has_a_note(make_run, root):
    for seed in (1, 2, 3):
        make_run([50.0 + seed], "CoOp-CA", seed=seed)
    make_run([60.0], seed=1)
    make_run([62.0], seed=3)
    (group,) = read_collection(root).groups
    assert group.seeds == (1, 2, 3)
    assert group.missing() == ["SoftCPT-NATA, 4 shots: seed 2"]
    assert by_shots(group).rows[1][1] == "61.0 ± 1.0 (2 of 3 seeds)"
    assert by_task(group, 4)[0].rows[1][0] == "SoftCPT-NATA (2 of 3 seeds)"
    overall, _, _ = differences(group)
    assert overall.rows[0][-1] == "2 of 3"  # pairs of runs


def test_a_started_seed_is_missing(make_run, root):
    make_run([50.0], seed=1)
    failed = root / "SoftCPT-NATA" / "tiny" / "4shots" / "seed2"
    failed.mkdir()
    (failed / CONFIG).write_text("")
    (failed / TRACEBACK).write_text("Traceback ...\n  line 1\nRuntimeError: out of memory\n")
    collection = read_collection(root)
    assert collection.groups[0].missing() == ["SoftCPT-NATA, 4 shots: seed 2"]
    assert by_shots(collection.groups[0]).rows[0][1] == "50.0 (1 of 2 seeds)"
    (one,) = collection.unfinished
    assert one.failed and one.reason == "RuntimeError: out of memory" and one.folder == failed


def test_a_copy_of_an_earlier_run_is_ignored_and_listed(make_run, root):
    kept = make_run([40.0], seed=1)
    kept.rename(kept.with_name("seed1_old"))
    make_run([50.0], seed=1)
    collection = read_collection(root)
    assert by_shots(collection.groups[0]).rows[0][1] == "50.0"
    (one,) = collection.unfinished
    assert one.folder.name == "seed1_old" and not one.failed
    assert re.search(r"\bignored\b.*\bseed1\b.*\bseed 1\b", one.reason)
    assert "seed1_old" in page(collection)


def test_a_started_number_of_shots_is_missing(make_run, root):
    make_run([50.0], seed=1)
    started = root / "SoftCPT-NATA" / "tiny" / "8shots" / "seed1"
    started.mkdir(parents=True)
    (started / LOG).write_text("epoch 1")
    collection = read_collection(root)
    assert collection.groups[0].missing() == ["SoftCPT-NATA, 8 shots: seed 1"]
    assert not collection.unfinished[0].failed
    assert by_shots(collection.groups[0]).rows == [["SoftCPT-NATA", "50.0", "-", "8,390,656"]]


@pytest.fixture
def locked():
    """locked(folder) starts a process that holds the lock of a run's folder until the test ends."""
    started = []

    def hold(folder):
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder / LOCK)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_running_job_is_running_until_its_process_ends(make_run, root, locked):
    make_run([50.0], seed=1)
    running = root / "SoftCPT-NATA" / "tiny" / "4shots" / "seed2"
    absent = running.with_name("seed3")
    for folder in (running, absent):
        folder.mkdir()
        (folder / CONFIG).write_text("")
    (absent / LOCK).touch()
    (running / TRACEBACK).write_text("RuntimeError: of an earlier attempt\n")
    process = locked(running)
    collection = read_collection(root)
    states = {one.folder.name: (one.running, one.failed) for one in collection.unfinished}
    assert states == {"seed2": (True, False), "seed3": (False, False)}
    assert collection.groups[0].missing() == ["SoftCPT-NATA, 4 shots: seed 3"]
    assert by_shots(collection.groups[0]).rows[0][1] == "50.0 (1 of 3 seeds)"
    text = page(collection)
    assert "seed2" in text[text.index('id="running"') : text.index('id="missing"')]
    assert "seed2" not in text[text.index('id="missing"') : text.index('id="accuracy"')]
    process.kill()
    process.wait()
    collection = read_collection(root)
    assert [(one.folder.name, one.running, one.failed) for one in collection.unfinished] == [
        ("seed2", False, True), ("seed3", False, False),
    ]  # fmt: skip
    assert collection.groups[0].missing() == ["SoftCPT-NATA, 4 shots: seeds 2, 3"]
    assert 'id="running"' not in page(collection)


def test_the_check_for_a_running_job_leaves_no_files(make_run, root):
    make_run([50.0], seed=1)
    started = root / "SoftCPT-NATA" / "tiny" / "4shots" / "seed2"
    started.mkdir()
    (started / LOG).write_text("epoch 1")
    read_collection(root)
    assert [path.name for path in started.iterdir()] == [LOG]


def test_each_variant_has_a_row_with_its_settings(make_run, root):
    make_run([50.0])
    other = make_run([60.0], "CoOp-CA")
    moved(other, "tiny+OPTIM.LR=0.1+OPTIM.MAX_EPOCH=5")
    make_run([55.0], "CoOp-CA")
    (group,) = read_collection(root).groups
    coop = METHODS["CoOp-CA"].label
    assert [row.label for row in group.rows] == [coop, f"{coop}, OPTIM.LR=0.1, OPTIM.MAX_EPOCH=5", "SoftCPT-NATA"]


def test_labels_and_order_are_the_catalogues_and_unknown_methods_are_last(make_run, root, monkeypatch):
    for method in ("plugged-in", "A", "SoftCPT-STAR", "PLOT", "ZeroshotCLIP"):
        make_run([50.0], method)
    labels = [METHODS[method].label for method in ("ZeroshotCLIP", "PLOT", "SoftCPT-STAR")]
    (group,) = read_collection(root).groups
    assert [row.label for row in group.rows] == [*labels, "A", "plugged-in"]
    monkeypatch.setitem(METHODS, "plugged-in", replace(METHODS["PLOT"], name="plugged-in", label="Plugged in"))
    (group,) = read_collection(root).groups
    assert [row.label for row in group.rows] == [*labels, "Plugged in", "A"]


def test_parts_of_the_tasks_or_classes_are_separate_groups(make_run, root):
    for part in ("tiny+DATASET.SUBSAMPLE_CLASSES=base", "tiny+DATASET.SUBSAMPLE_CLASSES=new"):
        moved(make_run([90.0, 90.0]), part)
    make_run([50.0, 60.0])
    make_run([50.0, 61.0], seed=2)
    make_run([70.0], "CoOp-CA", names=["another"])
    collection = read_collection(root)
    assert [group.title for group in collection.groups][0] == "garden8"
    assert len(collection.groups) == 4 and len(collection.groups[0].runs) == 2
    titles = {group.title for group in collection.groups}
    assert {"DATASET.SUBSAMPLE_CLASSES=base", "DATASET.SUBSAMPLE_CLASSES=new"} < titles
    assert by_shots(collection.groups[0]).rows == [["SoftCPT-NATA", "55.2 ± 0.2", "8,390,656"]]


def test_evaluations_are_not_runs_even_if_they_failed(make_run, root):
    tested = make_run([50.0]) / TESTED / "garden8+x" / "deeper"
    tested.mkdir(parents=True)
    (tested / CONFIG).write_text("")
    (tested / TRACEBACK).write_text("ValueError: no")
    collection = read_collection(root)
    assert len(collection.runs) == 1 and not collection.unfinished


def test_zero_shot_is_shown_at_every_number_of_shots(make_run, root):
    zero = make_run([40.0], "ZeroshotCLIP", shots=-1, counts={"trainable_parameters": 0})
    zero.parent.rename(zero.parent.with_name("0shots"))
    for shots in (4, 1):
        make_run([50.0 + shots], shots=shots)
    (group,) = read_collection(root).groups
    assert group.shots == (1, 4) and group.missing() == []
    assert by_shots(group).rows[0][:3] == ["Zero-shot CLIP", "40.0", "40.0"]
    overall, single, _ = differences(group)
    assert overall.rows[0][1] == "-12.5" and [row[2] for row in single.rows] == ["-11.0", "-14.0"]


def test_many_tasks_are_lines(make_run, root):
    make_run([float(i) for i in range(44)])
    table, foot = by_task(read_collection(root).groups[0], 4)
    assert table.header == ["method", "SoftCPT-NATA"] and len(table.rows) == 47 and foot == 3


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_without_runs_is_reported_in_one_line(tmp_path, make):
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(RunError) as error:
        read_collection(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_malformed_optional_fields_are_treated_as_absent(make_run, root):
    folder = make_run([50.0])
    record = json.loads((folder / RESULTS).read_text())
    record["tasks"][0] |= {"classnames": ["a", "b"], "confusion": [[0, 5, 1]], "examples": [{"image": "x"}]}
    record |= {"contexts": {"task_similarity": {"contexts": [[1.0, 0.5]]}, "words": [3]}, "command": "train"}
    (folder / RESULTS).write_text(json.dumps(record))
    (run,) = read_collection(root).runs
    (task,) = run.tasks
    assert (task.classnames, task.confusion, task.examples, task.classes) == (("a", "b"), (), (), 2)
    assert run.contexts.similarity == {} and run.contexts.words == () and run.command == ()
