"""Results that are read back: sealed, damaged, edited, of earlier versions, and things in the place of the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from common.files import SEAL, sealed
from common.paths import EVALUATION, RESULTS
from runs.results import DamagedRun, RunError, find_runs, read_record, read_results, read_run
from tests.support.limits import in_time, make_pipe


@pytest.fixture
def record(make_run) -> dict:
    """The content of a finished run's results, as earlier versions wrote it: without a checksum."""
    return json.loads((make_run([50.0, 62.5]) / RESULTS).read_text())


def write(folder: Path, record: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / RESULTS).write_text(json.dumps(record, indent=1))
    return folder


def test_sealed_results_and_those_of_earlier_versions_are_read(record, tmp_path):
    for content in (record, sealed(record)):
        folder = write(tmp_path / "run", content)
        assert read_run(folder).mean == 56.25 and read_record(folder) == content == read_results(folder)


def test_a_nan_is_read_in_both(record, tmp_path):
    record["tasks"][0]["accuracy"] = math.nan
    for content in (record, sealed(record)):
        assert math.isnan(read_run(write(tmp_path / "run", content)).mean)
    record["tasks"][0]["accuracy"] = math.inf
    assert math.isnan(read_run(write(tmp_path / "run", record)).tasks[0].accuracy)


@pytest.mark.parametrize("file", [RESULTS, EVALUATION])
@pytest.mark.parametrize(
    ("old", "new"),
    [("62.5", "92.5"), ('"seed": 1', '"seed": 2'), ("task 0", "task 1"), (SEAL, "sha257"), ("true", 'true, "x": 1')],
)
def test_a_changed_character_is_noticed(record, tmp_path, file, old, new):
    text = json.dumps(sealed(record))
    assert text.count(old) >= 1
    (tmp_path / file).write_text(text.replace(old, new, 1))
    if old == SEAL:  # then it is a record without a checksum, whose figures are unchanged
        assert read_run(tmp_path, file).mean == 56.25
        return
    with pytest.raises(DamagedRun, match=f"{file} .*checksum differs.*damaged or edited.*runs it again") as error:
        read_run(tmp_path, file)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    assert file != RESULTS or read_results(tmp_path) is None


DAMAGE = {
    "empty": b"",
    "cut": b'{"finished": true, "tasks": [{"na',
    "not UTF-8": b'{"finished": true, "method": "\xff"}',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep and finished": b'{"finished": true, "sha256": "x", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a list": b"[1]",
    "digits": b'{"finished": true, "seed": ' + b"9" * 9000 + b"}",
}
CHANGES = [
    {"tasks": []},
    {"tasks": 3},
    {"tasks": [{"name": "a", "metric": "A", "accuracy": "50"}]},
    {"tasks": [{"name": "a", "metric": "A", "accuracy": 150.0}]},
    {"tasks": [{"name": "a", "metric": "A", "accuracy": -1}]},
    {"tasks": [{"name": "a", "metric": "A", "accuracy": 10**400}]},
    {"seconds": {"train": math.inf, "test": 1, "total": 1}},
    {"seconds": {"train": 10**400, "test": 1, "total": 1}},
    {"seconds": {"train": -1.0, "test": 1, "total": 1}},
    {"counts": {"trainable_parameters": -1}},
    {"counts": []},
    {"seed": 10**30},
    {"shots": None},
    {"method": ["a"]},
]


def test_one_broken_record_does_not_cost_the_others(record, tmp_path):
    root = tmp_path / "all"
    root.mkdir()
    for name, content in DAMAGE.items():
        (root / name).mkdir()
        (root / name / RESULTS).write_bytes(content)
    for number, change in enumerate(CHANGES):
        write(root / f"change {number}", record | change)
    make_pipe(root / "pipe" / RESULTS)
    (root / "folder" / RESULTS).mkdir(parents=True)
    (root / "loop").mkdir()
    (root / "loop" / RESULTS).symlink_to(root / "loop" / RESULTS)
    (root / "loop" / "log.txt").write_text("begun")
    (root / "ring").symlink_to(root)
    write(root / "good", record)
    runs, skipped = in_time(lambda: find_runs(root))
    assert [run.folder.name for run in runs] == ["good"]
    assert len(skipped) == len(DAMAGE) + len(CHANGES) + 3 and not any("\n" in line for line in skipped)
    for folder in sorted(root.iterdir()):
        if folder.name not in ("good", "ring"):
            with pytest.raises(RunError) as error:
                in_time(lambda folder=folder: read_run(folder))
            assert len(str(error.value)) < 500


def test_fields_that_are_not_needed_are_left_out_if_they_are_damaged(record, tmp_path):
    odd = {"classes": -3, "classnames": ["a", "b"], "confusion": [[0, 1, 10**400]], "examples": [{"image": 3}]}
    record["tasks"] = [{"name": "a", "metric": "A", "accuracy": 50} | odd]
    record |= {"contexts": {"task_similarity": {"x": [[10**400]]}, "words": [[]]}, "command": {}, "versions": []}
    run = read_run(write(tmp_path / "run", record))
    assert run.tasks[0].confusion == run.tasks[0].examples == () and run.tasks[0].classes == 2
    assert run.contexts is not None and run.contexts.similarity == {} and run.command == ()


def test_names_are_read_without_control_characters(record, tmp_path):
    record["tasks"] = [{"name": "ro\x1b[2Jse", "metric": "A", "accuracy": 50.0, "classnames": ["a\x9bb\u202e", "c\td"]}]
    task = read_run(write(tmp_path / "run", record)).tasks[0]
    assert (task.name, task.classnames) == ("ro[2Jse", ("ab", "c d"))
