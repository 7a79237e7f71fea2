"""The state of a planned run: finished, settled, changed, stale or foreign."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.errors import InputError
from common.paths import EVALUATION, INPUTS, RESULTS, TESTED
from runs.status import Status, note_inputs, results_file, status

NOT_FINISHED = Status(None, False)


@dataclass
class Planned:
    """A planned run."""

    folder: Path
    method: str = "CoOp-CA"
    shots: int = 4
    seed: int = 1
    files: list[Path] = field(default_factory=list)
    of: Planned | None = None


@pytest.fixture
def planned(make_run, tmp_path) -> Planned:
    """A finished run whose config files are as when it was made."""
    file = tmp_path / "rn50.yaml"
    file.write_text("OPTIM: 1\n")
    run = Planned(make_run([50.0], "CoOp-CA", shots=4, seed=1), files=[file])
    note_inputs(run)
    return run


def evaluation_of(run: Planned, checkpoint: str = "1", seconds: int = 10) -> Planned:
    """A finished evaluation of a run, ``seconds`` after it."""
    folder = run.folder / TESTED / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    text = (run.folder / RESULTS).read_text().replace('"checkpoint": "1"', f'"checkpoint": "{checkpoint}"')
    (folder / EVALUATION).write_text(text)
    after = (run.folder / RESULTS).stat().st_mtime_ns + seconds * 10**9
    os.utime(folder / EVALUATION, ns=(after, after))
    planned = Planned(folder, run.method, run.shots, run.seed, run.files, run)
    note_inputs(planned)
    return planned


def test_a_finished_run_is_settled_while_its_configs_are_the_same(planned):
    assert results_file(planned) == planned.folder / RESULTS
    found = status(planned)
    assert found.settled and found.run is not None and found.run.mean == 50.0
    planned.files[0].write_text("OPTIM: 2\n")
    changed = status(planned)
    assert changed.run == found.run and not changed.settled
    planned.files[0].write_text("OPTIM: 1\n")
    assert status(planned).settled
    planned.files.append(planned.files[0])  # another list of files is another hash
    assert not status(planned).settled
    planned.files[1] = planned.files[0].with_name("gone.yaml")
    assert not status(planned).settled and status(planned).run == found.run


def test_a_run_without_a_record_of_its_configs_is_not_settled(planned):
    (planned.folder / INPUTS).unlink()
    found = status(planned)
    assert found.run is not None and not found.settled


@pytest.mark.parametrize("text", ["", "{", '{"finished": false}', '{"finished": true}'])
def test_without_the_finished_mark_it_has_to_run(planned, text):
    (planned.folder / RESULTS).write_text(text)
    assert status(planned) == NOT_FINISHED
    (planned.folder / RESULTS).unlink()
    assert status(planned) == NOT_FINISHED


@pytest.mark.parametrize("change", [{"method": "CoOp-MT"}, {"seed": 2}, {"shots": 8}])
def test_a_foreign_run_is_an_error(planned, change):
    for name, value in change.items():
        setattr(planned, name, value)
    with pytest.raises(InputError) as error:
        status(planned)
    assert str(planned.folder) in str(error.value) and "CoOp-CA with 4 shots and seed 1" in str(error.value)
    assert "\n" not in str(error.value)


def test_shots_of_a_run_without_training_images_are_ignored(planned):
    planned.shots = 0
    assert status(planned).settled


def test_an_evaluation_counts_while_its_run_has_the_same_checkpoint(planned):
    evaluation = evaluation_of(planned)
    assert results_file(evaluation).name == EVALUATION
    assert status(evaluation).settled
    assert status(evaluation_of(planned, checkpoint="2")) == NOT_FINISHED
    evaluation = evaluation_of(planned)
    (planned.folder / RESULTS).unlink()
    assert status(evaluation) == NOT_FINISHED


def test_an_evaluation_older_than_its_run_does_not_count(planned):
    assert status(evaluation_of(planned, seconds=-10)) == NOT_FINISHED
    assert status(evaluation_of(planned, seconds=0)).settled


def test_an_evaluation_of_a_run_without_a_recorded_checkpoint_counts(planned):
    """As older runs did not record it."""
    text = (planned.folder / RESULTS).read_text()
    evaluation = evaluation_of(planned)
    stamp = (planned.folder / RESULTS).stat().st_mtime_ns
    (planned.folder / RESULTS).write_text(text.replace('"checkpoint": "1"', '"checkpoint": null'))
    os.utime(planned.folder / RESULTS, ns=(stamp, stamp))
    assert status(evaluation).settled


def test_an_evaluation_that_drew_no_shots_may_have_other_shots(planned):
    evaluation = evaluation_of(planned)
    evaluation.shots = 16
    assert status(evaluation).settled
