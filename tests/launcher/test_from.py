"""--from: which runs it makes, and what it refuses; the runs are invented."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InputError
from launcher import trained
from launcher.plan import FROM, Plan, method_plan
from tests.support.runs import MakeRun


def planned(start: Path | str, output: Path, *words: str) -> Plan:
    return method_plan("softcpt", ["garden8", "4", "--output", str(output), "--from", str(start), *words])


def with_classifier(folder: Path) -> Path:
    (folder / trained.BUNDLE).write_text("{}")
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


def refused(start: Path | str, output: Path, *words: str) -> str:
    with pytest.raises(InputError) as error:
        planned(start, output, *words)
    return str(error.value)


def test_bad_folders(seeds: Path, make_run: MakeRun, tmp_path: Path) -> None:
    assert "not a finished run, nor a classifier" in refused(tmp_path / "gone", tmp_path)
    assert "has no seed3; --seeds takes some of 1, 2" in refused(seeds, tmp_path, "--seeds", "1,3")
    unfinished = make_run([50.0], "CoOp-CA", finished=False)
    assert "is not finished" in refused(unfinished, tmp_path)
    assert "MODEL.FROM cannot follow --: --from sets it" in refused(seeds, tmp_path, "--", "MODEL.FROM", "x")
