"""--from: which runs it makes, and what it refuses; the runs are invented."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.checkpoints import BEST
from common.errors import InputError
from common.paths import CHECKPOINTS, RESULTS
from launcher import trained
from launcher.plan import Plan, method_plan
from launcher.starts import FROM
from runs.status import hashes_of_inputs, note_inputs, status
from tests.support.runs import MakeRun


def planned(start: Path | str, output: Path, *words: str) -> Plan:
    return method_plan("softcpt", ["garden8", "4", "--output", str(output), "--from", str(start), *words])


def with_classifier(folder: Path, text: str = "{}") -> Path:
    (folder / trained.BUNDLE).write_text(text)
    return folder


@pytest.fixture
def seeds(make_run: MakeRun) -> Path:
    """A folder with the finished runs of two seeds."""
    for seed in (1, 2):
        folder = with_classifier(make_run([50.0], seed=seed))
    return folder.parent


def test_each_seed_starts_from_its_own(seeds: Path, tmp_path: Path) -> None:
    plan = planned(seeds, tmp_path, "--seeds", "2,1", "--", "OPTIM.MAX_EPOCH", "5")
    assert [dict(job.pairs)[FROM] for job in plan.jobs] == [str(seeds / "seed2"), str(seeds / "seed1")]
    parts = {job.folder.parent.parent.name for job in plan.jobs}
    (part,) = parts
    assert part == plan.config and "+OPTIM.MAX_EPOCH=5+from=garden8_SoftCPT-NATA_tiny_4shots" in part
    assert all(FROM in job.command() for job in plan.jobs)


def test_other_places_are_other_runs(seeds: Path, tmp_path: Path) -> None:
    """In the output folder, a relative path is the name; whatever it is called from."""
    first, second = (planned(seeds / name, tmp_path, "--seeds", "1") for name in ("seed1", "seed2"))
    without = method_plan("softcpt", ["garden8", "4", "--output", str(tmp_path), "--seeds", "1"])
    assert len({plan.jobs[0].folder for plan in (first, second, without)}) == 3
    assert dict(second.jobs[0].pairs)[FROM] == str(seeds / "seed2")
    bundle = with_classifier(tmp_path)
    every = planned(bundle, tmp_path / "elsewhere", "--seeds", "1,2,3")
    assert {dict(job.pairs)[FROM] for job in every.jobs} == {str(bundle)}


@pytest.mark.parametrize("text", ['{"seeds": [1]}', "{}", "[]", "{", '{"seeds": "1, 2"}', '{"seeds": [1, "2"]}'])
def test_a_bundle_of_one_seed_serves_all(tmp_path: Path, text: str) -> None:
    """Also one that cannot be read, which is reported when it is."""
    with_classifier(tmp_path, text)
    assert len(planned(tmp_path, tmp_path / "elsewhere", "--seeds", "1,2,3").jobs) == 3


def test_a_bundle_of_several_seeds_has_those_alone(tmp_path: Path) -> None:
    with_classifier(tmp_path, '{"seeds": [1, 2]}')
    assert len(planned(tmp_path, tmp_path / "elsewhere", "--seeds", "2,1").jobs) == 2
    message = refused(tmp_path, tmp_path / "elsewhere", "--seeds", "1,2,3")
    assert "has no seed 3; --seeds takes some of 1, 2." in message and "\n" not in message


def test_a_job_knows_its_source(seeds: Path, tmp_path: Path) -> None:
    assert [job.source for job in planned(seeds, tmp_path, "--seeds", "1,2").jobs] == [seeds / "seed1", seeds / "seed2"]
    assert method_plan("softcpt", ["garden8", "4", "--output", str(tmp_path)]).jobs[0].source is None


def test_a_run_is_settled_until_its_source_is_trained_again(seeds: Path, tmp_path: Path) -> None:
    """Also if it ends with the same file name."""
    learned = seeds / "seed1" / CHECKPOINTS / BEST
    learned.parent.mkdir()
    learned.write_bytes(b"1")
    (job,) = planned(seeds, tmp_path, "--seeds", "1").jobs
    job.folder.mkdir(parents=True)
    (job.folder / RESULTS).write_bytes((seeds / "seed1" / RESULTS).read_bytes())
    note_inputs(job, hashes_of_inputs(job))
    assert status(job).settled
    learned.write_bytes(b"2")
    assert status(job).run is not None and not status(job).settled


def refused(start: Path | str, output: Path, *words: str) -> str:
    with pytest.raises(InputError) as error:
        planned(start, output, *words)
    return str(error.value)


def test_bad_folders(seeds: Path, make_run: MakeRun, tmp_path: Path) -> None:
    assert "neither a finished run nor a classifier" in refused(tmp_path / "gone", tmp_path)
    assert "has no seed 3; --seeds takes some of 1, 2." in refused(seeds, tmp_path, "--seeds", "1,3")
    unfinished = make_run([50.0], "CoOp-CA", finished=False)
    assert "is not finished" in refused(unfinished, tmp_path)
    assert "MODEL.FROM cannot follow --: --from sets it" in refused(seeds, tmp_path, "--", "MODEL.FROM", "x")
