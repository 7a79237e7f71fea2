"""The state of a planned run: finished, settled, changed, stale or foreign."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.errors import Busy, InputError
from common.files import sealed
from common.paths import CHECKPOINTS, EVALUATION, INPUTS, LOCK, LOG, RESULTS, TENSORBOARD, TESTED, WEIGHTS
from runs import status as module
from runs.status import Status, check_unused, forget, hashes_of_inputs, note_inputs, results_file, status
from tests.support.limits import in_time, make_pipe

HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1]); lock.acquire(); print("held", flush=True); time.sleep(60)
"""

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
    source: Path | None = None


@pytest.fixture
def planned(make_run, tmp_path) -> Planned:
    """A finished run whose config files are as when it was made."""
    file = tmp_path / "rn50.yaml"
    file.write_text("OPTIM: 1\n")
    run = Planned(make_run([50.0], "CoOp-CA", shots=4, seed=1), files=[file])
    note_inputs(run, hashes_of_inputs(run))
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
    note_inputs(planned, hashes_of_inputs(planned))
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


def source_of(planned: Planned, folder: Path, kind: str) -> Path:
    """Let a run start from another run or a classifier; returns the file that holds what that learned."""
    planned.source = folder
    (folder / CHECKPOINTS).mkdir(parents=True)
    learned = folder / WEIGHTS
    if kind == "run":
        (folder / LOG).touch()
        learned = folder / CHECKPOINTS / "model.pth.tar-2"
        (folder / CHECKPOINTS / "checkpoint").write_text(learned.name)
    learned.write_bytes(b"1")
    note_inputs(planned, hashes_of_inputs(planned))
    return learned


@pytest.mark.parametrize("kind", ["run", "classifier"])
def test_a_run_is_settled_while_its_source_is_the_same(planned, tmp_path, kind):
    learned = source_of(planned, tmp_path / "source", kind)
    assert status(planned).settled
    learned.write_bytes(b"2")
    assert not status(planned).settled and status(planned).run is not None
    learned.unlink()  # a source may be removed after it was used
    assert status(planned).settled
    planned.files[0].write_text("OPTIM: 2\n")
    assert not status(planned).settled


def test_another_checkpoint_of_the_source(planned, tmp_path):
    """A source that was trained for longer ends with another file."""
    learned = source_of(planned, tmp_path / "source", "run")
    learned.with_name("model.pth.tar-3").write_bytes(b"3")
    learned.with_name("checkpoint").write_text("model.pth.tar-3")
    assert not status(planned).settled


def test_a_run_that_did_not_record_its_source_is_not_settled(planned, tmp_path):
    before = hashes_of_inputs(planned)
    source_of(planned, tmp_path / "source", "classifier")
    note_inputs(planned, before)
    assert not status(planned).settled


def test_inputs_are_those_that_the_run_began_with(planned):
    before = hashes_of_inputs(planned)
    planned.files[0].write_text("OPTIM: 2\n")
    note_inputs(planned, before)
    assert not status(planned).settled
    note_inputs(planned, [])  # they could not be read
    assert (planned.folder / INPUTS).read_text() == before[0]


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


def test_edited_results_do_not_count_and_are_said_once(planned, capsys):
    path = planned.folder / RESULTS
    text = json.dumps(sealed(json.loads(path.read_text())))
    path.write_text(text)
    assert status(planned).settled
    path.write_text(text.replace("50.0", "90.0"))
    for _ in range(3):
        assert status(planned) == NOT_FINISHED
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{path} cannot be read" in error and "runs it again" in error


@pytest.mark.parametrize("name", [RESULTS, INPUTS])
def test_a_named_pipe_in_the_place_of_a_record_does_not_block(planned, name):
    make_pipe(planned.folder / name)
    assert not in_time(lambda: status(planned)).settled


# -- forgetting --


def fill(folder: Path) -> None:
    """Everything that a run and an evaluation in its folder write."""
    for place in (folder, folder / TESTED / "other"):
        (place / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        (place / TENSORBOARD).mkdir(exist_ok=True)
        for name in (*module.RECORDS, LOG, LOCK, f"{CHECKPOINTS}/checkpoint", f"{CHECKPOINTS}/model.pth.tar-50"):
            (place / name).write_text("x")
        for name in ("model-best.pth.tar", ".model.pth.tar-3.k2_x.part", ".checkpoint.ab.part"):
            (place / CHECKPOINTS / name).write_text("x")
        (place / TENSORBOARD / "events.out.tfevents.1.vm.2.0").write_text("x")


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_only_what_a_run_wrote_is_forgotten(planned):
    fill(planned.folder)
    mine = ["notes.txt", f"{CHECKPOINTS}/notes of mine.json", f"{TENSORBOARD}/plot.png", f"{TESTED}/other/why.md"]
    for name in mine:
        (planned.folder / name).write_text("mine")
    forget(planned)
    folders = [CHECKPOINTS, TENSORBOARD, TESTED, f"{TESTED}/other"]
    assert everything(planned.folder) == sorted([*mine, *folders, LOG, LOCK])
    for name in mine:
        (planned.folder / name).unlink()
    fill(planned.folder)
    forget(planned)
    assert everything(planned.folder) == [LOCK, LOG]
    forget(planned)
    forget(Planned(planned.folder / "none"))


def test_links_are_not_followed_when_a_run_is_forgotten(planned, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.pth.tar-50").write_text("mine")
    (planned.folder / CHECKPOINTS).symlink_to(elsewhere)
    (planned.folder / TENSORBOARD).mkdir()
    (planned.folder / TENSORBOARD / "more").symlink_to(elsewhere)
    (planned.folder / TESTED).mkdir()
    (planned.folder / TESTED / "other").symlink_to(elsewhere)
    (elsewhere / RESULTS).write_text("mine")
    pipe = make_pipe(planned.folder / EVALUATION)
    forget(planned)
    assert everything(elsewhere) == ["model.pth.tar-50", RESULTS] and pipe.exists()


@pytest.mark.parametrize("place", ["", f"{TESTED}/other"])
def test_a_run_that_another_process_computes_is_not_forgotten(planned, monkeypatch, place):
    fill(planned.folder)
    before = everything(planned.folder)
    command = [sys.executable, "-c", HOLD, str(planned.folder / place / LOCK)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    try:
        for call in (forget, check_unused):
            with pytest.raises(Busy, match="Another process is using .*; wait") as error:
                call(planned)
            assert "\n" not in str(error.value) and everything(planned.folder) == before
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    forget(planned)
    assert not (planned.folder / RESULTS).exists()
